//! What a stream is compressed with, by how it begins, and what it is unpacked.

use std::io::{BufRead, BufReader, Read};

use anyhow::{Context, Result, bail};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    Gzip,
    Zstd,
    Xz,
    None,
}

/// The stream's packing and the stream unpacked.
pub fn unpack<'a>(input: impl Read + 'a) -> Result<(Packing, Box<dyn Read + 'a>)> {
    let mut input = BufReader::with_capacity(1 << 16, input);
    let start = input.fill_buf().context("cannot read its beginning")?;
    let packing = of(start);
    let reader: Box<dyn Read + 'a> = match packing {
        Packing::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
        Packing::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(input)?),
        Packing::Xz => Box::new(lzma_rust2::XzReader::new(input, true)),
        Packing::None if start.starts_with(b"BZh") => bail!("it is compressed with bzip2, which is not taken"),
        Packing::None => Box::new(input),
    };
    Ok((packing, reader))
}

fn of(start: &[u8]) -> Packing {
    match start {
        [0x1f, 0x8b, ..] => Packing::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Packing::Zstd,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Packing::Xz,
        _ => Packing::None,
    }
}
