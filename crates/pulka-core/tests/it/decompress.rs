use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use proptest::prelude::*;
use pulka_core::decode::decompress::{DecompressError, decompress};

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn zlib(plain: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn raw(plain: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn zstd(plain: &[u8]) -> Vec<u8> {
    zstd::encode_all(plain, 3).unwrap()
}

fn encodings(plain: &[u8]) -> [(&'static str, Vec<u8>); 5] {
    [
        ("gzip", gzip(plain)),
        ("deflate", zlib(plain)),
        ("Deflate ", raw(plain)),
        ("zstd", zstd(plain)),
        ("identity", plain.to_vec()),
    ]
}

proptest! {
    #[test]
    fn what_was_compressed_comes_back(plain in proptest::collection::vec(any::<u8>(), 0..200_000)) {
        for (encoding, body) in encodings(&plain) {
            prop_assert_eq!(decompress(&body, encoding, plain.len()), Ok(plain.clone()), "{}", encoding);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        for encoding in ["gzip", "deflate", "zstd", "identity", "", "br"] {
            let _ = decompress(&body, encoding, 1000);
        }
    }
}

#[test]
fn the_limit_holds_to_the_byte() {
    let plain = vec![b'x'; 3_000_000];
    for (encoding, body) in encodings(&plain) {
        let limit = plain.len() - 1;
        assert_eq!(decompress(&body, encoding, limit), Err(DecompressError::TooLarge { limit }), "{encoding}");
        let kept = decompress(&body, encoding, plain.len()).unwrap();
        assert!(kept.len() == plain.len() && kept.capacity() <= plain.len(), "{encoding}");
    }
}

#[test]
fn truncated_bodies_are_broken() {
    let plain: Vec<u8> = (0..5000u32).flat_map(u32::to_le_bytes).collect();
    for (encoding, body) in encodings(&plain).into_iter().filter(|(encoding, _)| *encoding != "identity") {
        for end in (1..body.len()).step_by(7).chain([body.len() - 1]) {
            let outcome = decompress(&body[..end], encoding, 1 << 20);
            assert!(matches!(outcome, Err(DecompressError::Broken { .. })), "{encoding} cut at {end}");
        }
    }
}

#[test]
fn members_and_frames_are_joined() {
    for compress in [gzip, zstd] {
        let encoding = if compress(b"") == gzip(b"") { "gzip" } else { "zstd" };
        let body = [compress(b"one "), compress(b""), compress(b"two")].concat();
        assert_eq!(decompress(&body, encoding, 100), Ok(b"one two".to_vec()));
    }
}

#[test]
fn other_encodings_are_refused() {
    assert_eq!(decompress(b"", "br", 10), Err(DecompressError::UnknownEncoding));
}
