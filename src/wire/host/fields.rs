//! Numbered fields, so that later versions can say more: `uint number ‖ buffer value` each, numbers going
//! up. What is not known is skipped.

use super::Fault;
use crate::codec::compact::{self, Reader, put_buffer, put_uint};
use crate::limits::HOST_FIELDS;

/// Hands each field to `take`, in order. A field has to be read to its end.
pub fn read<'a>(
    bytes: &'a [u8],
    mut take: impl FnMut(u64, &'a [u8]) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut reader = Reader::new(bytes);
    let (mut last, mut count) = (None, 0);
    while !reader.is_empty() {
        let number = reader.uint()?;
        if last.is_some_and(|last| number <= last) {
            return Err(Fault::Order(number));
        }
        count += 1;
        if count > HOST_FIELDS {
            return Err(Fault::TooManyFields);
        }
        last = Some(number);
        take(number, reader.buffer()?)?;
    }
    Ok(())
}

/// All of a field that is one number.
pub fn uint(value: &[u8], name: &'static str) -> Result<u64, Fault> {
    let mut reader = Reader::new(value);
    let number = reader.uint()?;
    if reader.is_empty() { Ok(number) } else { Err(Fault::Bounds(name)) }
}

/// All of a field that is a port that can be reached.
pub fn port(value: &[u8]) -> Result<u16, Fault> {
    let said = u16::try_from(uint(value, "port")?).ok();
    said.filter(|port| *port > 0).ok_or(Fault::Bounds("port"))
}

/// All of a field that is a sequence of numbers that go up.
pub fn ascending(value: &[u8], most: usize, name: &'static str) -> Result<Vec<u64>, Fault> {
    let mut reader = Reader::new(value);
    let mut numbers = Vec::new();
    while !reader.is_empty() {
        let number = reader.uint()?;
        let up = numbers.last().is_none_or(|last| number > *last);
        if !up || numbers.len() == most {
            return Err(Fault::Bounds(name));
        }
        numbers.push(number);
    }
    Ok(numbers)
}

/// All of a field with a fixed size.
pub fn fixed<const N: usize>(value: &[u8], name: &'static str) -> Result<[u8; N], Fault> {
    value.try_into().map_err(|_| Fault::Bounds(name))
}

pub fn put(number: u64, value: &[u8], out: &mut Vec<u8>) {
    put_uint(number, out);
    put_buffer(value, out);
}

pub fn put_number(number: u64, value: u64, out: &mut Vec<u8>) {
    put_uint(number, out);
    put_uint(compact::uint_len(value) as u64, out);
    put_uint(value, out);
}

pub fn put_numbers(number: u64, values: &[u64], out: &mut Vec<u8>) {
    let mut bytes = Vec::new();
    values.iter().for_each(|value| put_uint(*value, &mut bytes));
    put(number, &bytes, out);
}
