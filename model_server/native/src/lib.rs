//! The server's short way for small inference requests, without Python but for the run itself.

mod answer;
mod connections;
mod counts;
mod data;
mod front;
mod model;
mod places;
mod request;
mod service;
mod tensor;
mod upstream;

#[pyo3::pymodule]
mod modelstack_native {
    #[pymodule_export]
    use crate::python::{Front, Model, Places};
}

mod python;
