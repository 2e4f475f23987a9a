//! A protobuf message as the fields that it was written with.
//!
//! A file that is rewritten keeps everything that nobody changed, byte for byte: fields that hob does not know, metadata,
//! shapes of inner values, functions. So a message is taken apart only as far as something in it changes, and what is
//! left is put back as it stood.

use prost::Message;
use prost::bytes::Buf;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint, skip_field};

/// Field numbers of `onnx.proto3`, as far as fields are changed here.
pub(crate) mod tag {
    pub(crate) const MODEL_GRAPH: u32 = 7;
    pub(crate) const MODEL_OPSET: u32 = 8;
    pub(crate) const MODEL_METADATA: u32 = 14;
    pub(crate) const NODE: u32 = 1;
    pub(crate) const INPUT: u32 = 11;
    pub(crate) const INITIALIZER: u32 = 5;
    pub(crate) const VALUE_INFO: u32 = 13;
    pub(crate) const NODE_INPUT: u32 = 1;
    pub(crate) const NODE_OUTPUT: u32 = 2;
    pub(crate) const NODE_ATTRIBUTE: u32 = 5;
}

/// One field: its number, and all of its bytes, key and length included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    pub(crate) tag: u32,
    whole: &'a [u8],
    /// What it holds, for fields with a length.
    pub(crate) content: &'a [u8],
}

impl Field<'_> {
    pub(crate) fn copy_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.whole);
    }
}

/// Takes a message apart, one level deep.
pub(crate) fn fields(message: &[u8]) -> Result<Vec<Field<'_>>, String> {
    let mut fields = Vec::new();
    let mut left = message;
    while left.has_remaining() {
        let start = left;
        let (tag, wire) = decode_key(&mut left).map_err(|error| error.to_string())?;
        let mut content: &[u8] = &[];
        if wire == WireType::LengthDelimited {
            let length = decode_varint(&mut left).map_err(|error| error.to_string())?;
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            (content, left) = left.split_at_checked(length).ok_or("a field goes beyond the end of its message")?;
        } else {
            skip_field(wire, tag, &mut left, DecodeContext::default()).map_err(|error| error.to_string())?;
        }
        let (whole, _) = start.split_at(start.len() - left.len());
        fields.push(Field { tag, whole, content });
    }
    Ok(fields)
}

/// Adds a field that holds `content`.
pub(crate) fn put(out: &mut Vec<u8>, tag: u32, content: &[u8]) {
    encode_key(tag, WireType::LengthDelimited, out);
    encode_varint(u64::try_from(content.len()).unwrap_or(u64::MAX), out);
    out.extend_from_slice(content);
}

/// Adds a field that holds a message.
pub(crate) fn put_message(out: &mut Vec<u8>, tag: u32, message: &impl Message) {
    put(out, tag, &message.encode_to_vec());
}
