//! The requests that are answered here: those that are understood wholly. All else is Python's, errors included.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::data::Data;
use crate::model::Model;
use crate::tensor::{Kind, Tensor};

const MAX_ID: usize = 256;

/// A checked request: the bytes of each input in the model's order, and the outputs asked for.
#[derive(Debug)]
pub struct Asked<'a> {
    pub id: Option<&'a str>,
    pub inputs: Vec<Vec<u8>>,
    pub count: usize,
    pub outputs: Vec<Wanted>,
}

/// An output by its place in the model, and whether its values come as bytes.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    pub at: usize,
    pub as_bytes: bool,
}

// A key that is not named here, or comes twice, is Python's to judge; so is a text with an escape in it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<'a> {
    #[serde(borrow, default)]
    id: Option<&'a str>,
    #[serde(default)]
    parameters: Option<Object<Parameters>>,
    #[serde(borrow)]
    inputs: Vec<Object<Input<'a>>>,
    #[serde(borrow, default)]
    outputs: Option<Vec<Object<Output<'a>>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input<'a> {
    name: &'a str,
    datatype: &'a str,
    shape: Vec<usize>,
    #[serde(default)]
    parameters: Option<Object<Parameters>>,
    #[serde(default)]
    data: Data,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Output<'a> {
    name: &'a str,
    #[serde(default)]
    parameters: Option<Object<Parameters>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    #[serde(default, deserialize_with = "present")]
    binary_data: Option<bool>,
    #[serde(default, deserialize_with = "present")]
    binary_data_output: Option<bool>,
    #[serde(default, deserialize_with = "present")]
    binary_data_size: Option<usize>,
}

/// A value that is an object in JSON: of itself the library takes a list of its fields as well.
#[derive(Default)]
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OfObject(PhantomData)).map(Object)
    }
}

struct OfObject<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OfObject<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// A value that is there is not null.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Return the request in `body`, whose first `header_length` bytes are JSON where bytes of tensors follow.
pub fn parse<'a>(model: &Model, body: &'a [u8], header_length: Option<usize>) -> Option<Asked<'a>> {
    let (header, raw) = body.split_at_checked(header_length.unwrap_or(body.len()))?;
    let Object(document): Object<Document> = serde_json::from_slice(header).ok()?;
    if document.id.is_some_and(|id| id.chars().count() > MAX_ID) {
        return None;
    }
    let default = document.parameters.unwrap_or_default().0.binary_data_output.unwrap_or(false);
    let outputs = outputs(&model.outputs, document.outputs.unwrap_or_default(), default)?;
    let (inputs, count) = inputs(&model.inputs, document.inputs, raw)?;
    Some(Asked { id: document.id, inputs, count, outputs })
}

fn outputs(known: &[Tensor], named: Vec<Object<Output>>, default: bool) -> Option<Vec<Wanted>> {
    if named.is_empty() {
        return Some((0..known.len()).map(|at| Wanted { at, as_bytes: default }).collect());
    }
    let mut wanted: Vec<Wanted> = Vec::with_capacity(named.len());
    for Object(output) in named {
        let at = known.iter().position(|one| one.name == output.name)?;
        if wanted.iter().any(|one| one.at == at) {
            return None;
        }
        let as_bytes = output.parameters.unwrap_or_default().0.binary_data.unwrap_or(default);
        wanted.push(Wanted { at, as_bytes });
    }
    Some(wanted)
}

fn inputs(known: &[Tensor], sent: Vec<Object<Input>>, mut raw: &[u8]) -> Option<(Vec<Vec<u8>>, usize)> {
    let mut found = vec![Vec::new(); known.len()];
    let count = *sent.first()?.0.shape.first()?;
    if sent.len() != known.len() || count == 0 {
        return None;
    }
    for Object(input) in sent {
        let at = known.iter().position(|one| one.name == input.name)?;
        let tensor = &known[at];
        let same = input.datatype == tensor.datatype && input.shape.split_first() == Some((&count, &tensor.shape));
        if !same || !found[at].is_empty() {
            return None;
        }
        let Some(size) = input.parameters.unwrap_or_default().0.binary_data_size else {
            found[at] = numbers(tensor, &input.shape, &input.data)?;
            continue;
        };
        let (mine, rest) = raw.split_at_checked(size)?;
        if input.data.given || !whole(tensor, count, mine) {
            return None;
        }
        found[at] = mine.to_vec();
        raw = rest;
    }
    raw.is_empty().then_some((found, count))
}

fn numbers(tensor: &Tensor, shape: &[usize], data: &Data) -> Option<Vec<u8>> {
    if !data.fits(shape) {
        return None;
    }
    let mut bytes = Vec::with_capacity(data.numbers.len() * tensor.kind.size());
    for number in &data.numbers {
        tensor.kind.push(*number, &mut bytes)?;
    }
    Some(bytes)
}

fn whole(tensor: &Tensor, count: usize, bytes: &[u8]) -> bool {
    let truths = tensor.kind != Kind::Bool || bytes.iter().all(|byte| *byte <= 1);
    tensor.size().checked_mul(count) == Some(bytes.len()) && truths
}
