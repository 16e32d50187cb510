//! The `data` of a tensor: numbers in a list, flat or nested as the tensor's shape says.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, SeqAccess, Visitor};

use crate::tensor::Number;

/// The numbers in their order, and the lists they came in: `lengths` by depth, where the lists of a depth agree.
#[derive(Default)]
pub struct Data {
    pub given: bool,
    pub numbers: Vec<Number>,
    lengths: Vec<usize>,
    leaf: Option<usize>,
    uneven: bool,
}

impl Data {
    /// Whether these are the values of `shape`.
    pub fn fits(&self, shape: &[usize]) -> bool {
        let size = shape.iter().try_fold(1usize, |size, length| size.checked_mul(*length));
        !self.uneven && size == Some(self.numbers.len()) && (self.leaf == Some(0) || self.lengths == shape)
    }

    fn push(&mut self, depth: usize, number: Number) {
        self.uneven |= *self.leaf.get_or_insert(depth) != depth;
        self.numbers.push(number);
    }

    fn open(&mut self, depth: usize) {
        if self.lengths.len() == depth {
            self.lengths.push(usize::MAX);
        }
    }

    fn close(&mut self, depth: usize, length: usize) {
        self.uneven |= length == 0 || ![usize::MAX, length].contains(&self.lengths[depth]);
        self.lengths[depth] = length;
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut data = Data { given: true, ..Data::default() };
        deserializer.deserialize_seq(Level { data: &mut data, depth: 0 })?;
        Ok(data)
    }
}

/// What is read at a depth: a number of the list above, or a list of its own.
struct Level<'a> {
    data: &'a mut Data,
    depth: usize,
}

impl Level<'_> {
    fn number<E>(self, number: Number) -> Result<(), E> {
        self.data.push(self.depth - 1, number);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("numbers, flat or nested")
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.number(Number::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.number(Number::Signed(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.number(Number::Unsigned(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.number(Number::Float(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Level { data, depth } = self;
        data.open(depth);
        let mut length = 0;
        while list.next_element_seed(Level { data: &mut *data, depth: depth + 1 })?.is_some() {
            length += 1;
        }
        data.close(depth, length);
        Ok(())
    }
}
