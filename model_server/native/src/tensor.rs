//! Datatypes: JSON numbers to little-endian bytes and back, strictly: nothing is rounded, cut or guessed.

use serde::Serialize;

#[cfg(target_endian = "big")]
compile_error!("numpy's arrays are in the machine's order of bytes; this module is for little-endian machines");

/// A datatype of the protocol that this module understands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Bool,
    Int8,
    Int16,
    Int32,
    Int64,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Fp32,
    Fp64,
}

/// A value of a tensor as JSON has it.
#[derive(Clone, Copy, Debug)]
pub enum Number {
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
}

/// An input or output: `shape` and `values` are those of one sample.
#[derive(Debug)]
pub struct Tensor {
    pub name: String,
    pub datatype: String,
    pub kind: Kind,
    pub shape: Vec<usize>,
    pub values: usize,
}

impl Tensor {
    /// Return the tensor; None where its datatype is not understood or a sample's size does not fit into memory.
    pub fn new(name: String, datatype: String, shape: Vec<usize>) -> Option<Self> {
        let kind = Kind::named(&datatype)?;
        let values = shape.iter().try_fold(1usize, |size, length| size.checked_mul(*length))?;
        values.checked_mul(kind.size())?;
        Some(Self { name, datatype, kind, shape, values })
    }

    /// The bytes of one sample.
    pub fn size(&self) -> usize {
        self.values * self.kind.size()
    }
}

impl Kind {
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "BOOL" => Self::Bool,
            "INT8" => Self::Int8,
            "INT16" => Self::Int16,
            "INT32" => Self::Int32,
            "INT64" => Self::Int64,
            "UINT8" => Self::Uint8,
            "UINT16" => Self::Uint16,
            "UINT32" => Self::Uint32,
            "UINT64" => Self::Uint64,
            "FP32" => Self::Fp32,
            "FP64" => Self::Fp64,
            _ => return None,
        })
    }

    /// The bytes of one value.
    pub fn size(self) -> usize {
        match self {
            Self::Bool | Self::Int8 | Self::Uint8 => 1,
            Self::Int16 | Self::Uint16 => 2,
            Self::Int32 | Self::Uint32 | Self::Fp32 => 4,
            Self::Int64 | Self::Uint64 | Self::Fp64 => 8,
        }
    }

    /// Append `number`; None where it is of another type or out of range.
    pub fn push(self, number: Number, out: &mut Vec<u8>) -> Option<()> {
        match self {
            Self::Bool => out.push(u8::from(truth(number)?)),
            Self::Int8 => out.extend(whole::<i8>(number)?.to_le_bytes()),
            Self::Int16 => out.extend(whole::<i16>(number)?.to_le_bytes()),
            Self::Int32 => out.extend(whole::<i32>(number)?.to_le_bytes()),
            Self::Int64 => out.extend(whole::<i64>(number)?.to_le_bytes()),
            Self::Uint8 => out.extend(whole::<u8>(number)?.to_le_bytes()),
            Self::Uint16 => out.extend(whole::<u16>(number)?.to_le_bytes()),
            Self::Uint32 => out.extend(whole::<u32>(number)?.to_le_bytes()),
            Self::Uint64 => out.extend(whole::<u64>(number)?.to_le_bytes()),
            Self::Fp32 => out.extend(Some(real(number)? as f32).filter(|one| one.is_finite())?.to_le_bytes()),
            Self::Fp64 => out.extend(real(number)?.to_le_bytes()),
        }
        Some(())
    }

    /// Append the values in `raw` as a JSON list; None where one is NaN or infinite.
    pub fn write(self, raw: &[u8], out: &mut Vec<u8>) -> Option<()> {
        match self {
            Self::Bool => list(raw, |[byte]| Some(byte != 0), out),
            Self::Int8 => list(raw, |bytes| Some(i8::from_le_bytes(bytes)), out),
            Self::Int16 => list(raw, |bytes| Some(i16::from_le_bytes(bytes)), out),
            Self::Int32 => list(raw, |bytes| Some(i32::from_le_bytes(bytes)), out),
            Self::Int64 => list(raw, |bytes| Some(i64::from_le_bytes(bytes)), out),
            Self::Uint8 => list(raw, |bytes| Some(u8::from_le_bytes(bytes)), out),
            Self::Uint16 => list(raw, |bytes| Some(u16::from_le_bytes(bytes)), out),
            Self::Uint32 => list(raw, |bytes| Some(u32::from_le_bytes(bytes)), out),
            Self::Uint64 => list(raw, |bytes| Some(u64::from_le_bytes(bytes)), out),
            Self::Fp32 => list(raw, |bytes| Some(f32::from_le_bytes(bytes)).filter(|one| one.is_finite()), out),
            Self::Fp64 => list(raw, |bytes| Some(f64::from_le_bytes(bytes)).filter(|one| one.is_finite()), out),
        }
    }
}

fn truth(number: Number) -> Option<bool> {
    match number {
        Number::Bool(value) => Some(value),
        _ => None,
    }
}

fn whole<T: TryFrom<i64> + TryFrom<u64>>(number: Number) -> Option<T> {
    match number {
        Number::Signed(value) => value.try_into().ok(),
        Number::Unsigned(value) => value.try_into().ok(),
        _ => None,
    }
}

fn real(number: Number) -> Option<f64> {
    match number {
        Number::Float(value) => Some(value),
        Number::Signed(value) => Some(value as f64),
        Number::Unsigned(value) => Some(value as f64),
        Number::Bool(_) => None,
    }
}

fn list<const N: usize, T: Serialize>(raw: &[u8], read: fn([u8; N]) -> Option<T>, out: &mut Vec<u8>) -> Option<()> {
    out.push(b'[');
    for (at, bytes) in raw.as_chunks::<N>().0.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        serde_json::to_writer(&mut *out, &read(*bytes)?).ok()?;
    }
    out.push(b']');
    Some(())
}
