//! Answers in the protocol's form, key by key as Python writes them.

use crate::model::Model;
use crate::request::{Asked, Wanted};
use crate::tensor::Tensor;

/// A response's body; `header_length` is that of its JSON where bytes of tensors follow.
pub struct Written {
    pub body: Vec<u8>,
    pub header_length: Option<usize>,
}

/// Return the answer to `asked`, whose samples begin at `first` in `ran`; None where JSON cannot carry a value.
pub fn write(model: &Model, asked: &Asked, ran: &[Vec<u8>], first: usize) -> Option<Written> {
    let mut body = Vec::with_capacity(512);
    let mut raw: Vec<&[u8]> = Vec::new();
    body.extend(b"{\"model_name\":");
    text(&model.name, &mut body);
    body.extend(b",\"model_version\":");
    text(&model.version, &mut body);
    if let Some(id) = asked.id {
        body.extend(b",\"id\":");
        text(id, &mut body);
    }
    body.extend(b",\"outputs\":[");
    for (place, Wanted { at, as_bytes }) in asked.outputs.iter().enumerate() {
        let tensor = &model.outputs[*at];
        let rows = &ran[*at][first * tensor.size()..(first + asked.count) * tensor.size()];
        if place > 0 {
            body.push(b',');
        }
        describe(tensor, asked.count, &mut body);
        if *as_bytes {
            body.extend(format!(",\"parameters\":{{\"binary_data_size\":{}}}}}", rows.len()).as_bytes());
            raw.push(rows);
        } else {
            body.extend(b",\"data\":");
            tensor.kind.write(rows, &mut body)?;
            body.push(b'}');
        }
    }
    body.extend(b"]}");
    let header_length = asked.outputs.iter().any(|one| one.as_bytes).then_some(body.len());
    raw.iter().for_each(|rows| body.extend(*rows));
    Some(Written { body, header_length })
}

fn describe(tensor: &Tensor, count: usize, body: &mut Vec<u8>) {
    body.extend(b"{\"name\":");
    text(&tensor.name, body);
    body.extend(b",\"datatype\":");
    text(&tensor.datatype, body);
    body.extend(format!(",\"shape\":[{count}").as_bytes());
    for length in &tensor.shape {
        body.extend(format!(",{length}").as_bytes());
    }
    body.push(b']');
}

fn text(value: &str, body: &mut Vec<u8>) {
    serde_json::to_writer(body, value).expect("a text is written into memory");
}
