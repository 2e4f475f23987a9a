//! One file: who it is for, which tokens, their keys and values, and a checksum over all of it.

use crate::decoder::{Decoder, Slot};
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What a file name ends with.
pub(super) const KEPT: &str = "kv";

/// And while it is being written.
pub(super) const UNFINISHED: &str = "new";

/// The last digit goes up whenever the same fields would be written otherwise.
const MAGIC: [u8; 8] = *b"hob kv 1";

/// More than any model's context: a head that asks for more is none.
const MOST_TOKENS: u32 = 1 << 20;

/// The name of the file for some tokens.
pub(super) fn name(model: &[u8; 32], tokens: &[u32]) -> String {
    let mut hash = Sha256::new_with_prefix(model);
    for token in tokens {
        hash.update(token.to_le_bytes());
    }
    let digits: Vec<String> = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}.{KEPT}", digits.concat())
}

/// Reads which tokens a file holds, and of which model.
pub(super) fn read_head(from: &mut impl Read) -> io::Result<([u8; 32], Vec<u32>)> {
    let wrong = |what: &str| Err(io::Error::new(ErrorKind::InvalidData, what));
    let (mut magic, mut of, mut count) = ([0; 8], [0; 32], [0; 4]);
    from.read_exact(&mut magic)?;
    from.read_exact(&mut of)?;
    from.read_exact(&mut count)?;
    let count = u32::from_le_bytes(count);
    if magic != MAGIC {
        return wrong("another format");
    }
    if count > MOST_TOKENS {
        return wrong("more tokens than any context has");
    }
    let mut bytes = vec![0; usize::try_from(count).unwrap_or(usize::MAX).saturating_mul(4)];
    from.read_exact(&mut bytes)?;
    Ok((of, bytes.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect()))
}

/// Writes a file under another name and renames it. Not synced: what a power cut tears has another checksum. Returns its
/// size.
pub(super) fn save(
    path: &Path,
    model: &[u8; 32],
    tokens: &[u32],
    decoder: &dyn Decoder,
    slot: Slot,
) -> io::Result<u64> {
    let unfinished = path.with_extension(UNFINISHED);
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    let write = || {
        let mut to = Summed { inner: BufWriter::new(file), sum: Sha256::new() };
        to.write_all(&MAGIC)?;
        to.write_all(model)?;
        to.write_all(&u32::try_from(tokens.len()).unwrap_or(u32::MAX).to_le_bytes())?;
        tokens.iter().try_for_each(|token| to.write_all(&token.to_le_bytes()))?;
        decoder.save(slot, tokens.len(), &mut to)?;
        let Summed { mut inner, sum } = to;
        inner.write_all(&sum.finalize())?;
        inner.flush()?;
        std::fs::rename(&unfinished, path)?;
        Ok(std::fs::metadata(path)?.len())
    };
    let written = write();
    if written.is_err() {
        std::fs::remove_file(&unfinished).ok();
    }
    written
}

/// Fills a slot from a file. After an error the slot may hold anything of it.
pub(super) fn load(
    path: &Path,
    model: &[u8; 32],
    tokens: &[u32],
    decoder: &mut dyn Decoder,
    slot: Slot,
) -> io::Result<()> {
    let mut from = Summed { inner: BufReader::new(File::open(path)?), sum: Sha256::new() };
    let (of, held) = read_head(&mut from)?;
    if of != *model || held != tokens {
        return Err(io::Error::new(ErrorKind::InvalidData, "it holds something else than before"));
    }
    decoder.load(slot, tokens.len(), &mut from)?;
    let Summed { inner, sum } = from;
    let sum = sum.finalize();
    // One byte more than there should be, to see that there is none.
    let (mut said, most) = (Vec::new(), u64::try_from(sum.len() + 1).unwrap_or(u64::MAX));
    let read = inner.take(most).read_to_end(&mut said);
    if read.is_ok() && said == sum.as_slice() {
        return Ok(());
    }
    decoder.truncate(slot, 0).map_err(|error| io::Error::other(error.to_string()))?;
    read?;
    Err(io::Error::new(ErrorKind::InvalidData, "another checksum"))
}

/// Sums what passes through.
struct Summed<T> {
    inner: T,
    sum: Sha256,
}

impl<T: Write> Write for Summed<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.sum.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<T: Read> Read for Summed<T> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(bytes)?;
        self.sum.update(bytes.get(..read).unwrap_or_default());
        Ok(read)
    }
}
