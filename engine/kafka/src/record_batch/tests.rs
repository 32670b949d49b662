//! What the codec promises as a whole: round trips, no copies, no panics.

use std::sync::Arc;

use arrow::array::Array;
use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::option::{of, weighted};
use proptest::prelude::*;

use super::*;
use crate::{Outgoing, RawHeaders};

#[derive(Clone, Debug, PartialEq)]
struct Owned {
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: RawHeaders,
}

fn owned() -> impl Strategy<Value = Owned> {
    let bytes = || of(vec(any::<u8>(), 0..40));
    let header = ("[a-zäöü]{0,5}", of(vec(any::<u8>(), 0..20)))
        .prop_map(|(name, value)| (Arc::from(name), value.map(Bytes::from)));
    let headers = weighted(0.3, vec(header, 0..4)).prop_map(Option::unwrap_or_default);
    (any::<i64>(), bytes(), bytes(), headers).prop_map(|(timestamp, key, value, headers)| Owned {
        timestamp,
        key,
        value,
        headers,
    })
}

fn write(writer: &mut Writer, records: &[Owned], base_offset: i64) -> Bytes {
    for record in records {
        writer
            .push(&Record {
                timestamp: record.timestamp,
                key: record.key.as_deref(),
                value: record.value.as_deref(),
                headers: Headers::List(&record.headers),
            })
            .unwrap();
    }
    let mut batch = writer.finish().unwrap();
    set_base_offset(&mut batch, base_offset);
    batch.freeze()
}

fn encode(compression: Compression, records: &[Owned], base_offset: i64) -> Bytes {
    write(&mut Writer::new(compression), records, base_offset)
}

fn read(bytes: &Bytes) -> Result<Columns, Error> {
    let mut reader = Reader::new(Limits::default());
    reader.read(bytes, 0)?;
    Ok(reader.finish())
}

fn rows(columns: &Columns) -> Vec<Owned> {
    let cell = |array: &arrow::array::BinaryViewArray, i: usize| {
        array.is_valid(i).then(|| array.value(i).to_vec())
    };
    (0..columns.offsets.len())
        .map(|i| Owned {
            timestamp: columns.timestamps[i],
            key: cell(&columns.keys, i),
            value: cell(&columns.values, i),
            headers: columns.headers.get(i).cloned().unwrap_or_default(),
        })
        .collect()
}

fn compression() -> impl Strategy<Value = Compression> {
    proptest::sample::select(&Compression::ALL[..])
}

proptest! {
    #[test]
    fn reading_gives_what_was_written(
        batches in vec(vec(owned(), 1..40), 1..4),
        compression in compression(),
    ) {
        let mut writer = Writer::new(compression);
        let mut bytes = BytesMut::new();
        let mut offset = 7;
        for batch in &batches {
            bytes.extend_from_slice(&write(&mut writer, batch, offset));
            offset += batch.len() as i64;
        }
        let columns = read(&bytes.freeze()).unwrap();
        prop_assert_eq!(rows(&columns), batches.concat());
        prop_assert_eq!(columns.offsets.to_vec(), (7..offset).collect::<Vec<_>>());
        if batches.iter().flatten().all(|r| r.headers.is_empty()) {
            prop_assert!(columns.headers.is_empty());
        }
    }

    #[test]
    fn rows_of_columns_become_the_same_bytes(
        records in vec(owned(), 1..40),
        compression in compression(),
    ) {
        let mut writer = Writer::new(compression);
        let run = columns_of(&records);
        // A record without a time gets the writer's: the same here.
        let appended = writer.append_rows(&run, 0..records.len(), -1, ROOM);
        prop_assert_eq!(appended, Appended { rows: records.len(), stop: Stop::End });
        prop_assert_eq!(&writer.finish().unwrap(), &encode(compression, &records, 0));
    }

    #[test]
    fn a_batch_takes_as_many_rows_as_fit(records in vec(owned(), 1..40), room in 61..1_000usize) {
        let run = columns_of(&records);
        let room = Room { batch_bytes: room, ..ROOM };
        let mut writer = Writer::new(Compression::None);
        let mut row = 0;
        while row < records.len() {
            let Appended { rows, stop } = writer.append_rows(&run, row..records.len(), -1, room);
            prop_assert_eq!(stop == Stop::End, row + rows == records.len());
            let expected = encode(Compression::None, &records[row..row + rows], 0);
            prop_assert_eq!(&writer.finish().unwrap(), &expected);
            if let Some(one_more) = records.get(row..=row + rows) {
                prop_assert!(encode(Compression::None, one_more, 0).len() > room.batch_bytes);
            }
            let length = encode(Compression::None, &records[row..row + rows], 0).len();
            prop_assert!(length <= room.batch_bytes || rows == 1);
            row += rows;
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..300)) {
        let mut reader = Reader::new(Limits { check_crcs: false, ..Limits::default() });
        let _ = reader.read(&bytes.into(), 0);
        reader.finish();
    }

    /// With the checksum out of the way, so that the parser itself meets the damage.
    #[test]
    fn damaged_batches_never_panic(
        records in vec(owned(), 1..20),
        compression in compression(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        keep in any::<prop::sample::Index>(),
    ) {
        let whole = encode(compression, &records, 0);
        let mut bytes = whole.to_vec();
        for (index, byte) in damage {
            // Not the length and the format, which would only end it early.
            let at = HEADER_LENGTH.min(23) + index.index(bytes.len() - 23);
            bytes[at] = byte;
        }
        bytes.truncate(HEADER_LENGTH + keep.index(bytes.len() - HEADER_LENGTH + 1));
        let length = (bytes.len() - 12) as i32;
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        let limits = Limits {
            check_crcs: false,
            max_decompressed_bytes: 1 << 20,
            ..Limits::default()
        };
        let mut reader = Reader::new(limits);
        let _ = reader.read(&bytes.into(), 0);
        let columns = reader.finish();
        prop_assert_eq!(columns.keys.len(), columns.offsets.len());
        prop_assert_eq!(columns.values.len(), columns.offsets.len());
        prop_assert!(columns.headers.is_empty() || columns.headers.len() == columns.offsets.len());
    }

    #[test]
    fn a_flipped_bit_is_noticed(
        records in vec(owned(), 1..10),
        compression in compression(),
        at in any::<prop::sample::Index>(),
        bit in 0..8u8,
    ) {
        let whole = encode(compression, &records, 0);
        let mut bytes = whole.to_vec();
        let at = 17 + at.index(bytes.len() - 17);
        bytes[at] ^= 1 << bit;
        prop_assert!(read(&bytes.into()).is_err());
    }
}

fn reseal(header: &BatchHeader, batch: &mut [u8]) {
    header.write(batch);
    seal(batch, &header.stamp());
}

/// The same records as columns.
fn columns_of(records: &[Owned]) -> Outgoing {
    Outgoing {
        topic: "t".into(),
        partition: None,
        keys: records.iter().map(|record| record.key.as_deref()).collect(),
        values: records.iter().map(|record| record.value.as_deref()).collect(),
        timestamps: Some(records.iter().map(|record| record.timestamp).collect::<Vec<_>>().into()),
        headers: records.iter().map(|record| record.headers.clone()).collect(),
    }
}

const ROOM: Room = Room { batch_bytes: 1 << 20, record_bytes: 1 << 20 };

fn record(key: &[u8], value: &[u8]) -> Owned {
    Owned {
        timestamp: 1_000,
        key: Some(key.to_vec()),
        value: Some(value.to_vec()),
        headers: Vec::new(),
    }
}

#[test]
fn a_row_beyond_the_most_bytes_is_refused_and_leaves_the_batch_as_it_was() {
    let records = [record(b"k", b"1"), record(b"k", &[0; 300]), record(b"k", b"3")];
    let run = columns_of(&records);
    let room = Room { record_bytes: 200, ..ROOM };
    let mut writer = Writer::new(Compression::None);
    let appended = writer.append_rows(&run, 0..3, 0, room);
    let bytes = HEADER_LENGTH + 21 + 2 + 302 + 1;
    assert_eq!(appended, Appended { rows: 1, stop: Stop::TooBig { bytes } });
    assert_eq!(writer.append_rows(&run, 2..3, 0, room).rows, 1);
    let columns = read(&writer.finish().unwrap().freeze()).unwrap();
    assert_eq!(rows(&columns), [records[0].clone(), records[2].clone()]);
}

#[test]
fn rows_without_a_time_get_the_writers() {
    let mut run = columns_of(&[record(b"k", b"1"), record(b"k", b"2")]);
    run.timestamps = Some(vec![-1, 5].into());
    let mut writer = Writer::new(Compression::None);
    writer.append_rows(&run, 0..2, 77, ROOM);
    run.timestamps = None;
    writer.append_rows(&run, [1], 78, ROOM);
    let columns = read(&writer.finish().unwrap().freeze()).unwrap();
    assert_eq!(columns.timestamps.to_vec(), [77, 5, 78]);
}

#[test]
fn a_batch_is_sealed_again_for_another_try() {
    let first =
        Stamp { producer_id: 9, producer_epoch: 3, base_sequence: 70, is_transactional: true };
    let second = Stamp { producer_epoch: 4, base_sequence: 0, is_transactional: false, ..first };
    for compression in Compression::ALL {
        let mut writer = Writer::new(compression);
        writer.append_rows(&columns_of(&[record(b"k", b"v")]), 0..1, 0, ROOM);
        let mut batch = writer.close().unwrap();
        for stamp in [first, second, Stamp::NONE] {
            seal(&mut batch, &stamp);
            let header = BatchHeader::parse(&batch).unwrap().unwrap();
            header.check(&batch).unwrap();
            assert_eq!(header.stamp(), stamp);
            assert_eq!(header.compression().unwrap(), compression);
        }
        assert_eq!(batch, encode(compression, &[record(b"k", b"v")], 0));
    }
}

#[test]
fn memory_of_a_sent_batch_is_written_again() {
    let mut writer = Writer::new(Compression::None);
    let run = columns_of(&vec![record(b"k", &[7; 100]); 50]);
    writer.append_rows(&run, 0..50, 0, ROOM);
    let sent = writer.finish().unwrap().freeze();
    let (expected, memory) = (sent.to_vec(), sent.as_ptr());
    writer.reuse(sent.try_into_mut().unwrap());
    writer.append_rows(&run, 0..50, 0, ROOM);
    let again = writer.finish().unwrap();
    assert_eq!(again, expected);
    assert_eq!(again.as_ptr(), memory);
}

#[test]
fn levels_are_honoured() {
    let values: Vec<_> = (0..2_000u32).map(|i| (i * i).to_string()).collect();
    let records: Vec<_> = values.iter().map(|value| record(b"key", value.as_bytes())).collect();
    for (compression, weak, strong) in [(Compression::Gzip, 1, 9), (Compression::Zstd, -50, 19)] {
        let mut writer = Writer::new(Compression::None);
        let [weak, strong] = [weak, strong].map(|level| {
            writer.append_rows(&columns_of(&records), 0..records.len(), 0, ROOM);
            let mut compressor = Compressor::new(compression, Some(level));
            let mut batch = writer.close_with(&mut compressor).unwrap();
            seal(&mut batch, &Stamp::NONE);
            let batch = batch.freeze();
            assert_eq!(rows(&read(&batch).unwrap()), records);
            batch.len()
        });
        assert!(weak > strong, "{compression:?}: {weak} {strong}");
    }
}

fn contains(buffer: &[u8], part: &[u8]) -> bool {
    buffer.as_ptr_range().contains(&part.as_ptr())
        && part.as_ptr_range().end <= buffer.as_ptr_range().end
}

#[test]
fn long_values_lie_in_the_bytes_that_were_read() {
    let mut bytes = encode(Compression::None, &[record(b"k", &[7; 100])], 0).to_vec();
    bytes.extend_from_slice(&encode(Compression::None, &[record(b"k", &[8; 100])], 1));
    let bytes = Bytes::from(bytes);
    let columns = read(&bytes).unwrap();
    assert!(contains(&bytes, columns.values.value(0)));
    assert!(contains(&bytes, columns.values.value(1)));
    assert_eq!(columns.values.data_buffers().len(), 1, "both batches share one buffer");
    assert_eq!(columns.keys.data_buffers().len(), 0, "short keys need none");
}

#[test]
fn long_values_of_a_compressed_batch_lie_in_one_buffer() {
    for compression in Compression::ALL {
        let bytes = encode(compression, &[record(b"k", &[7; 100]), record(b"k", &[8; 100])], 0);
        let columns = read(&bytes).unwrap();
        let buffers = columns.values.data_buffers();
        assert_eq!(buffers.len(), 1, "{compression:?}");
        assert!(contains(&buffers[0], columns.values.value(1)), "{compression:?}");
    }
}

#[test]
fn bare_snappy_is_read_too() {
    let framed = encode(Compression::Snappy, &[record(b"k", &[7; 100])], 0);
    let plain = encode(Compression::None, &[record(b"k", &[7; 100])], 0);
    let bare = snap::raw::Encoder::new().compress_vec(&plain[HEADER_LENGTH..]).unwrap();
    let mut bytes = framed[..HEADER_LENGTH].to_vec();
    bytes.extend_from_slice(&bare);
    reseal(&BatchHeader::parse(&framed).unwrap().unwrap(), &mut bytes);
    assert_eq!(read(&bytes.into()).unwrap().values.value(0), &[7; 100]);
}

#[test]
fn a_cut_batch_is_left_for_the_next_read() {
    let first = encode(Compression::None, &[record(b"k", b"1")], 0);
    let second = encode(Compression::None, &[record(b"k", b"2")], 1);
    let both = [&first[..], &second[..]].concat();
    for length in first.len()..both.len() {
        let mut reader = Reader::new(Limits::default());
        assert_eq!(reader.read(&both[..length].to_vec().into(), 0).unwrap(), first.len());
        assert_eq!(reader.len(), 1);
        assert_eq!(reader.next_offset(), Some(1));
    }
}

#[test]
fn batches_before_a_damaged_one_are_read() {
    let first = encode(Compression::None, &[record(b"k", b"1")], 0);
    let mut both = [&first[..], &encode(Compression::None, &[record(b"k", b"2")], 1)].concat();
    *both.last_mut().unwrap() ^= 1;
    let mut reader = Reader::new(Limits::default());
    let error = reader.read(&both.into(), 1_000).unwrap_err();
    assert_eq!(reader.len(), 1);
    let message = error.to_string();
    assert!(message.contains("checksum"), "{message}");
    assert!(message.contains(&format!("position: {}", 1_000 + first.len())), "{message}");
}

#[test]
fn reading_from_an_offset_leaves_out_what_is_before() {
    let records: Vec<_> = (0..10u8).map(|i| record(b"k", &[i])).collect();
    let bytes = encode(Compression::Zstd, &records, 100);
    let mut reader = Reader::new(Limits::default()).from_offset(107);
    reader.read(&bytes, 0).unwrap();
    let columns = reader.finish();
    assert_eq!(columns.offsets.to_vec(), [107, 108, 109]);
    assert_eq!(columns.values.value(0), [7]);
}

#[test]
fn old_formats_are_refused_by_name() {
    for magic in [0, 1] {
        let mut bytes = encode(Compression::None, &[record(b"k", b"v")], 0).to_vec();
        bytes[16] = magic;
        let message = read(&bytes.into()).unwrap_err().to_string();
        assert!(message.contains(&format!("format {magic}")), "{message}");
        assert!(message.contains("0.11"), "{message}");
    }
}

#[test]
fn decompression_stops_at_the_limit() {
    let bytes = 17 << 20;
    for compression in Compression::ALL.into_iter().filter(|c| *c != Compression::None) {
        let batch = encode(compression, &[record(b"k", &vec![0; bytes])], 0);
        for limits in [
            Limits { max_decompressed_bytes: bytes, ..Limits::default() },
            Limits { max_ratio: 2, ..Limits::default() },
        ] {
            let mut reader = Reader::new(limits);
            let message = reader.read(&batch, 0).unwrap_err().to_string();
            assert!(message.contains("grows beyond"), "{compression:?}: {message}");
        }
        let mut reader = Reader::new(Limits { max_ratio: usize::MAX, ..Limits::default() });
        reader.read(&batch, 0).unwrap();
        assert_eq!(reader.finish().values.value(0).len(), bytes);
    }
}

#[test]
fn a_run_stops_at_its_limit() {
    let batch = encode(Compression::None, &[record(b"k", &[0; 1_000])], 0);
    let three = Bytes::from([&batch[..], &batch[..], &batch[..]].concat());
    let mut reader = Reader::new(Limits { max_run_bytes: 1_500, ..Limits::default() });
    assert_eq!(reader.read(&three, 0).unwrap(), 2 * batch.len());
}

#[test]
fn control_batches_are_passed_over() {
    let mut bytes = encode(Compression::None, &[record(b"k", b"v")], 5).to_vec();
    let mut header = BatchHeader::parse(&bytes).unwrap().unwrap();
    header.attributes |= 1 << 5 | 1 << 4;
    reseal(&header, &mut bytes);
    let mut reader = Reader::new(Limits::default());
    reader.read(&bytes.into(), 0).unwrap();
    assert!(reader.is_empty());
    assert_eq!(reader.next_offset(), Some(6));
}

/// A batch of one record in a transaction of this producer.
fn transactional(producer_id: i64, offset: i64) -> BytesMut {
    let mut writer = Writer::new(Compression::None);
    writer.push(&Record::new(0, None, Some(&[offset as u8]))).unwrap();
    let mut batch = writer.close().unwrap();
    let stamp = Stamp { producer_id, producer_epoch: 0, base_sequence: 0, is_transactional: true };
    seal(&mut batch, &stamp);
    set_base_offset(&mut batch, offset);
    batch
}

fn end(end: EndOfTransaction, producer_id: i64, offset: i64) -> BytesMut {
    let mut batch = end.batch(producer_id, 0, 7, 0).unwrap();
    set_base_offset(&mut batch, offset);
    batch
}

#[test]
fn records_of_aborted_transactions_are_left_out() {
    use EndOfTransaction::{Abort, Commit};
    let log = [
        transactional(1, 0), // aborted
        transactional(2, 1),
        encode(Compression::None, &[record(b"k", &[2])], 2).into(), // outside any
        transactional(1, 3),                                        // aborted
        end(Abort, 1, 4),
        transactional(1, 5),
        end(Commit, 2, 6),
        transactional(2, 7), // aborted
        end(Commit, 1, 8),
        end(Abort, 2, 9),
        transactional(2, 10),
        end(Commit, 2, 11),
    ];
    let aborted = vec![
        AbortedTransaction { producer_id: 2, first_offset: 7 },
        AbortedTransaction { producer_id: 1, first_offset: 0 },
    ];
    let log = Bytes::from(log.concat());
    let mut reader = Reader::new(Limits::default()).aborted(aborted.clone());
    assert_eq!(reader.read(&log, 0).unwrap(), log.len());
    assert_eq!(reader.next_offset(), Some(12));
    assert_eq!(reader.finish().offsets.to_vec(), [1, 2, 5, 10]);

    // A fetch may begin within the batches, and be taken in pieces.
    let limits = Limits { max_run_bytes: 1, ..Limits::default() };
    let mut reader = Reader::new(limits).from_offset(2).aborted(aborted);
    let (mut position, mut offsets) = (0, Vec::new());
    while position < log.len() {
        position += reader.read(&log.slice(position..), position as u64).unwrap();
        offsets.extend_from_slice(&reader.take().offsets);
    }
    assert_eq!(offsets, [2, 5, 10]);

    let mut uncommitted = Reader::new(Limits::default());
    uncommitted.read(&log, 0).unwrap();
    assert_eq!(uncommitted.finish().offsets.to_vec(), [0, 1, 2, 3, 5, 7, 10]);
}

/// The broker names each transaction whose marker it sends, even if it sends nothing else of it.
#[test]
fn a_fetch_may_begin_at_the_end_of_an_aborted_transaction() {
    use EndOfTransaction::{Abort, Commit};
    let log = [end(Abort, 1, 1), transactional(1, 2), end(Commit, 1, 3)];
    let log = Bytes::from(log.concat());
    let aborted = vec![AbortedTransaction { producer_id: 1, first_offset: 0 }];
    let mut reader = Reader::new(Limits::default()).from_offset(1).aborted(aborted);
    reader.read(&log, 0).unwrap();
    assert_eq!(reader.finish().offsets.to_vec(), [2]);
}

#[test]
fn a_transactions_end_is_what_java_writes() {
    let batch = end(EndOfTransaction::Commit, 5, 3).freeze();
    let header = BatchHeader::parse(&batch).unwrap().unwrap();
    assert!(header.is_control() && header.is_transactional());
    assert_eq!((header.count, header.producer_id, header.base_sequence), (1, 5, -1));
    // length 16, attributes, deltas, key: version 0 and kind 1, value: version 0 and epoch 7
    let record = [32, 0, 0, 0, 8, 0, 0, 0, 1, 12, 0, 0, 0, 0, 0, 7, 0];
    assert_eq!(batch[HEADER_LENGTH..], record);
}

/// A bit that makes records look like a transaction's end must not make them disappear.
#[test]
fn control_batches_are_checked() {
    let mut bytes = encode(Compression::None, &[record(b"k", b"v")], 5).to_vec();
    bytes[22] ^= 1 << 5;
    assert!(read(&bytes.into()).is_err());
}

#[test]
fn log_append_time_replaces_the_producers() {
    let mut writer = Writer::new(Compression::None);
    writer.set_append_time(Some(77));
    let batch = write(&mut writer, &[record(b"k", b"1"), record(b"k", b"2")], 0);
    assert_eq!(read(&batch).unwrap().timestamps.to_vec(), [77, 77]);
}

#[test]
fn gaps_and_ends_of_compacted_batches_survive() {
    let mut writer = Writer::new(Compression::None);
    writer.set_delete_horizon(500);
    writer.push_at(3, &Record::new(400, Some(b"k"), None)).unwrap();
    writer.push_at(8, &Record::new(600, Some(b"l"), Some(b"v"))).unwrap();
    writer.extend_to(11);
    let batch = Bytes::from(writer.finish().unwrap());
    let header = BatchHeader::parse(&batch).unwrap().unwrap();
    assert_eq!(header.delete_horizon(), Some(500));
    assert_eq!(header.last_offset(), 11);
    let columns = read(&batch).unwrap();
    assert_eq!(columns.offsets.to_vec(), [3, 8]);
    assert_eq!(columns.timestamps.to_vec(), [400, 600]);
    assert!(columns.values.is_null(0));
}

#[test]
fn an_empty_batch_has_no_records() {
    let mut writer = Writer::new(Compression::None);
    writer.extend_to(4);
    let batch = Bytes::from(writer.finish().unwrap());
    let mut reader = Reader::new(Limits::default());
    assert_eq!(reader.read(&batch, 0).unwrap(), HEADER_LENGTH);
    assert_eq!(reader.next_offset(), Some(5));
}

/// Put together by hand from the protocol's description, so that reader and writer cannot agree on
/// a mistake.
#[test]
fn a_batch_known_byte_for_byte() {
    let mut expected = Vec::new();
    expected.extend_from_slice(&5i64.to_be_bytes()); // base offset
    expected.extend_from_slice(&61i32.to_be_bytes()); // length: what follows
    expected.extend_from_slice(&0i32.to_be_bytes()); // leader epoch
    expected.push(2); // magic
    expected.extend_from_slice(&[0; 4]); // checksum
    expected.extend_from_slice(&0i16.to_be_bytes()); // attributes
    expected.extend_from_slice(&0i32.to_be_bytes()); // last offset delta
    expected.extend_from_slice(&1_000i64.to_be_bytes()); // base timestamp
    expected.extend_from_slice(&1_000i64.to_be_bytes()); // max timestamp
    expected.extend_from_slice(&(-1i64).to_be_bytes()); // producer id
    expected.extend_from_slice(&(-1i16).to_be_bytes()); // producer epoch
    expected.extend_from_slice(&(-1i32).to_be_bytes()); // base sequence
    expected.extend_from_slice(&1i32.to_be_bytes()); // records
    // length 11, attributes, timestamp delta, offset delta, "k", "v", one header "h" -> null
    expected.extend_from_slice(&[22, 0, 0, 0, 2, b'k', 2, b'v', 2, 2, b'h', 1]);
    let crc = crc_fast::crc32_iscsi(&expected[21..]);
    expected[17..21].copy_from_slice(&crc.to_be_bytes());

    let record = Owned { headers: vec![("h".into(), None)], ..record(b"k", b"v") };
    assert_eq!(encode(Compression::None, &[record], 5), expected);
}
