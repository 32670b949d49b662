//! Decides what of a segment file can be trusted after a crash.
//!
//! A process that is killed leaves at most the beginning of its last batch. So when nothing whole
//! follows a broken batch at the end of the log, nobody was told that it was written, and it is
//! cut off. Whole batches behind a broken one mean another kind of damage: records that were
//! acknowledged are gone. They are never skipped silently: reading stops there with an error.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::marker::Marker;
use super::producers::Noted;
use super::segment::Index;
use crate::record_batch::{BatchHeader, HEADER_LENGTH};

/// How much is read at once.
const WINDOW: usize = 64 << 10;

/// A part of a segment that cannot be read.
#[derive(Clone, Debug)]
pub(super) struct Damage {
    /// Where it begins in the file.
    pub(super) position: u64,
    /// The offset of the first record that is lost.
    pub(super) offset: i64,
    /// Where the log goes on, if it does.
    pub(super) resume_offset: Option<i64>,
    /// What is wrong.
    pub(super) what: String,
}

impl Damage {
    /// Whether the record with this offset is lost.
    pub(super) fn covers(&self, offset: i64) -> bool {
        offset >= self.offset && self.resume_offset.is_none_or(|resume| offset < resume)
    }
}

/// What a segment file holds.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) index: Index,
    pub(super) size: u64,
    pub(super) next_offset: i64,
    pub(super) max_timestamp: i64,
    /// What its batches say of their producers.
    pub(super) noted: Vec<Noted>,
    pub(super) damage: Vec<Damage>,
    /// A broken end, with nothing whole behind it.
    pub(super) tail: Option<Damage>,
}

/// How closely a segment is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Checks {
    /// Compares checksums; else lengths and offsets have to fit, and reading finds the rest.
    pub(super) checksums: bool,
    /// Offsets may be missing between batches, as compaction leaves them.
    pub(super) allow_gaps: bool,
}

/// Goes through a segment from batch to batch.
pub(super) fn scan(file: &File, base_offset: i64, checks: Checks) -> io::Result<Scan> {
    let size = file.metadata()?.len();
    let mut scan = Scan {
        index: Index::default(),
        size,
        next_offset: base_offset,
        max_timestamp: -1,
        noted: Vec::new(),
        damage: Vec::new(),
        tail: None,
    };
    let mut window = Window { file, size, start: 0, bytes: Vec::new() };
    let mut position = 0;
    while position < size {
        match window.batch(position, scan.next_offset, checks)? {
            Ok(header) => {
                scan.index.note(header.base_offset, position, false);
                scan.next_offset = header.last_offset() + 1;
                scan.max_timestamp = scan.max_timestamp.max(header.max_timestamp);
                scan.noted.extend(window.note(position, &header)?);
                position += header.length as u64;
            }
            Err(what) => {
                let offset = scan.next_offset;
                let mut damage = Damage { position, offset, resume_offset: None, what };
                let Some((found, header)) = window.find_batch(position + 1, offset)? else {
                    scan.tail = Some(damage);
                    break;
                };
                damage.resume_offset = Some(header.base_offset);
                scan.damage.push(damage);
                scan.index.note(header.base_offset, found, true);
                scan.next_offset = header.base_offset;
                position = found;
            }
        }
    }
    Ok(scan)
}

/// A part of the file in memory.
struct Window<'a> {
    file: &'a File,
    size: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl Window<'_> {
    /// So many bytes from here, fewer at the end of the file.
    fn get(&mut self, position: u64, length: usize) -> io::Result<&[u8]> {
        let length = length.min((self.size - position) as usize);
        let end = self.start + self.bytes.len() as u64;
        if position < self.start || position + length as u64 > end {
            let wanted = length.max(WINDOW).min((self.size - position) as usize);
            self.bytes.resize(wanted, 0);
            self.start = position;
            self.file.read_exact_at(&mut self.bytes, position)?;
        }
        let at = (position - self.start) as usize;
        Ok(&self.bytes[at..at + length])
    }

    /// The batch at this position, or what is wrong with it.
    fn batch(
        &mut self,
        position: u64,
        next_offset: i64,
        checks: Checks,
    ) -> io::Result<Result<BatchHeader, String>> {
        let header = match BatchHeader::parse(self.get(position, HEADER_LENGTH)?) {
            Ok(Some(header)) => header,
            Ok(None) => return Ok(Err("the file ends inside a batch's header".to_owned())),
            Err(corrupt) => return Ok(Err(corrupt.to_string())),
        };
        let is_next = match checks.allow_gaps {
            true => header.base_offset >= next_offset,
            false => header.base_offset == next_offset,
        };
        if !is_next {
            return Ok(Err(format!(
                "a batch begins with offset {} instead of {next_offset}",
                header.base_offset
            )));
        }
        if header.length as u64 > self.size - position {
            return Ok(Err("the file ends inside a batch".to_owned()));
        }
        if checks.checksums
            && let Err(corrupt) = header.check(self.get(position, header.length)?)
        {
            return Ok(Err(corrupt.to_string()));
        }
        Ok(Ok(header))
    }

    /// What is to be remembered of the batch's producer, if it has one.
    fn note(&mut self, position: u64, header: &BatchHeader) -> io::Result<Option<Noted>> {
        if header.producer_id < 0 {
            return Ok(None);
        }
        if !header.is_control() {
            return Ok(Some(Noted::Batch(*header)));
        }
        let batch = self.get(position, header.length)?;
        let marker = Marker::parse(header, batch);
        Ok(marker.map(|marker| Noted::Marker(marker, header.base_offset, header.max_timestamp)))
    }

    /// The first whole batch from here on that may follow this offset.
    fn find_batch(
        &mut self,
        mut position: u64,
        next_offset: i64,
    ) -> io::Result<Option<(u64, BatchHeader)>> {
        let checks = Checks { checksums: true, allow_gaps: true };
        while position + HEADER_LENGTH as u64 <= self.size {
            // The first bytes of an offset and the format, before anything costly is tried.
            let header = self.get(position, HEADER_LENGTH)?;
            let is_likely = header[..2] == [0, 0] && header[16] == 2;
            if is_likely && let Ok(header) = self.batch(position, next_offset, checks)? {
                return Ok(Some((position, header)));
            }
            position += 1;
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::record_batch::{Compression, Record, Writer, set_base_offset};

    fn batch(offset: i64, value: &[u8]) -> Vec<u8> {
        let mut writer = Writer::new(Compression::None);
        writer.push(&Record::new(1, None, Some(value))).unwrap();
        let mut batch = writer.finish().unwrap();
        set_base_offset(&mut batch, offset);
        batch.to_vec()
    }

    fn scanned(bytes: &[u8], checksums: bool) -> Scan {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        scan(&file, 10, Checks { checksums, allow_gaps: false }).unwrap()
    }

    #[test]
    fn whole_segments_have_neither_damage_nor_tail() {
        for checksums in [true, false] {
            let scan = scanned(&[batch(10, b"a"), batch(11, b"b")].concat(), checksums);
            assert_eq!(scan.next_offset, 12);
            assert!(scan.damage.is_empty() && scan.tail.is_none());
        }
    }

    #[test]
    fn a_batch_cut_anywhere_is_the_tail() {
        let (first, second) = (batch(10, b"a"), batch(11, &[5; 30]));
        for keep in 1..second.len() {
            let scan = scanned(&[&first[..], &second[..keep]].concat(), true);
            let tail = scan.tail.unwrap();
            assert_eq!((tail.position, tail.offset), (first.len() as u64, 11), "{keep}");
            assert!(scan.damage.is_empty());
        }
    }

    #[test]
    fn a_broken_batch_before_a_whole_one_is_damage() {
        let (first, broken, last) = (batch(10, b"a"), batch(11, &[5; 30]), batch(12, b"c"));
        for at in 0..broken.len() {
            // The leader epoch is outside the checksum and means nothing here.
            if (12..16).contains(&at) {
                continue;
            }
            let mut broken = broken.clone();
            broken[at] ^= 0xff;
            let scan = scanned(&[&first[..], &broken, &last].concat(), true);
            assert!(scan.tail.is_none(), "byte {at}");
            assert_eq!(scan.damage.len(), 1, "byte {at}");
            assert!(scan.damage[0].covers(11) && !scan.damage[0].covers(12), "byte {at}");
            assert_eq!(scan.next_offset, 13, "byte {at}");
        }
    }
}
