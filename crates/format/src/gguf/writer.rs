//! Writing GGUF as a stream: first the header, then the tensors' bytes in order.

use std::io::Write;

use super::header::alignment;
use super::metadata::Metadata;
use super::reader::to_u64;
use super::tensors::{check_names, checked_len};
use super::value::write_string;
use super::{MAGIC, VERSION};
use crate::error::shown;
use crate::{BlockType, FormatError, TensorInfo};

/// A header in the making.
#[derive(Debug)]
pub struct Writer {
    metadata: Metadata,
    alignment: u64,
    tensors: Vec<TensorInfo>,
    data_len: u64,
}

impl Writer {
    /// A file with these entries and no tensors yet. [`Metadata::path`] is for messages.
    ///
    /// # Errors
    ///
    /// If `general.alignment` is not an alignment.
    pub fn new(metadata: Metadata) -> Result<Self, FormatError> {
        let alignment = alignment(&metadata)?;
        Ok(Self { metadata, alignment, tensors: Vec::new(), data_len: 0 })
    }

    /// Adds a tensor. `shape`: sizes, outermost first.
    ///
    /// # Errors
    ///
    /// If there are no or more than 4 sizes, one is 0, rows are no whole number of blocks, or all is too large.
    pub fn declare(&mut self, name: &str, shape: &[usize], block_type: BlockType) -> Result<(), FormatError> {
        let path = self.metadata.path();
        let len = checked_len(path, name, block_type, shape)?;
        let end = self.data_len.checked_add(len).and_then(|end| end.checked_next_multiple_of(self.alignment));
        let Some(end) = end else {
            let (tensor, found) = (shown(name), "data beyond 64 bits".into());
            return Err(FormatError::WrongWrite {
                path: path.into(),
                tensor,
                found,
                expected: "less".into(),
            });
        };
        let (name, shape) = (name.into(), shape.into());
        self.tensors.push(TensorInfo { name, shape, block_type, file: 0, offset: self.data_len, len });
        self.data_len = end;
        Ok(())
    }

    /// Writes the header to `out`, which is at the start of a file, and goes on to the data.
    ///
    /// # Errors
    ///
    /// If two tensors have one name, or `out` fails.
    pub fn start<W: Write>(self, out: W) -> Result<DataWriter<W>, FormatError> {
        check_names(self.metadata.path(), &self.tensors)?;
        let header = self.header();
        let mut writer = DataWriter { out, writer: self, offset: 0, current: 0, left: 0 };
        writer.put(&header)?;
        writer.pad()?;
        writer.left = writer.writer.tensors.first().map_or(0, |tensor| tensor.len);
        Ok(writer)
    }

    fn header(&self) -> Vec<u8> {
        let mut header = MAGIC.to_vec();
        header.extend(VERSION.to_le_bytes());
        header.extend(to_u64(self.tensors.len()).to_le_bytes());
        header.extend(to_u64(self.metadata.len()).to_le_bytes());
        for (key, value) in self.metadata.iter() {
            write_string(key, &mut header);
            header.extend(value.type_id().to_le_bytes());
            value.write(&mut header);
        }
        for tensor in &self.tensors {
            write_tensor(tensor, &mut header);
        }
        header
    }
}

/// A file whose header is written and whose data is being written.
#[derive(Debug)]
pub struct DataWriter<W> {
    out: W,
    writer: Writer,
    offset: u64,
    current: usize,
    left: u64,
}

impl<W: Write> DataWriter<W> {
    /// Writes bytes of the tensor `name`, all at once or piece by piece. Tensors come in the order of declaration.
    ///
    /// # Errors
    ///
    /// If another tensor's turn it is, the bytes are too many, or `out` fails.
    pub fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), FormatError> {
        let due = self.writer.tensors.get(self.current);
        if due.is_none_or(|tensor| tensor.name != name) {
            let expected = due.map_or("the end".into(), |tensor| format!("tensor `{}`", shown(&tensor.name)));
            return Err(self.wrong(name, "its bytes".into(), expected));
        }
        let Some(left) = self.left.checked_sub(to_u64(bytes.len())) else {
            return Err(self.wrong(name, format!("{} bytes", bytes.len()), format!("at most {}", self.left)));
        };
        self.put(bytes)?;
        self.left = left;
        if left == 0 {
            self.pad()?;
            self.current += 1;
            self.left = self.writer.tensors.get(self.current).map_or(0, |tensor| tensor.len);
        }
        Ok(())
    }

    /// Flushes and hands `out` back.
    ///
    /// # Errors
    ///
    /// If bytes of a declared tensor are missing, or `out` fails.
    pub fn finish(mut self) -> Result<W, FormatError> {
        if let Some(tensor) = self.writer.tensors.get(self.current) {
            return Err(self.wrong(&tensor.name, "the end".into(), format!("{} more bytes", self.left)));
        }
        let flushed = self.out.flush();
        self.check(flushed, 0)?;
        Ok(self.out)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), FormatError> {
        let written = self.out.write_all(bytes);
        self.check(written, bytes.len())?;
        self.offset += to_u64(bytes.len());
        Ok(())
    }

    fn pad(&mut self) -> Result<(), FormatError> {
        let padding = self.offset.next_multiple_of(self.writer.alignment) - self.offset;
        let padding = usize::try_from(padding).expect("padding is below the largest alignment");
        self.put(&vec![0; padding])
    }

    fn check(&self, result: std::io::Result<()>, len: usize) -> Result<(), FormatError> {
        let (path, offset) = (self.writer.metadata.path(), self.offset);
        result.map_err(|source| FormatError::Write { path: path.into(), offset, len, source })
    }

    fn wrong(&self, tensor: &str, found: String, expected: String) -> FormatError {
        let (path, tensor) = (self.writer.metadata.path().into(), shown(tensor));
        FormatError::WrongWrite { path, tensor, found, expected }
    }
}

fn write_tensor(tensor: &TensorInfo, header: &mut Vec<u8>) {
    write_string(&tensor.name, header);
    let n_dimensions = u32::try_from(tensor.shape.len()).expect("at most 4 sizes");
    header.extend(n_dimensions.to_le_bytes());
    for &size in tensor.shape.iter().rev() {
        header.extend(to_u64(size).to_le_bytes());
    }
    header.extend(tensor.block_type.block().gguf_id.to_le_bytes());
    header.extend(tensor.offset.to_le_bytes());
}
