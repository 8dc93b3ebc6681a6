//! The fields of a tar header: numbers in their forms, and the tables of sparse files.

use anyhow::{Result, anyhow, bail};

use super::archive::{Entry, Extension};
use super::limits;

pub fn sparse_table(table: &[u8], more: u8, places: &mut Vec<(u64, u64)>) -> Result<bool> {
    for piece in table.chunks_exact(24) {
        if piece[0] == 0 {
            break;
        }
        places.push((number(&piece[..12])?, number(&piece[12..])?));
    }
    Ok(more != 0)
}

/// PAX's forms 0.0, a record for each number, and 0.1, one for all.
pub fn pax_sparse(extension: &Extension) -> Result<Vec<(u64, u64)>> {
    let numbers: Vec<u64> = match extension.get("GNU.sparse.map") {
        Some([]) => Vec::new(),
        Some(map) => map.split(|byte| *byte == b',').map(decimal).collect::<Result<_>>()?,
        None => extension
            .records
            .iter()
            .filter(|(name, _)| matches!(&name[..], b"GNU.sparse.offset" | b"GNU.sparse.numbytes"))
            .map(|(_, value)| decimal(value))
            .collect::<Result<_>>()?,
    };
    if !numbers.len().is_multiple_of(2) {
        bail!("the table of a sparse file has an odd count of numbers");
    }
    Ok(numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}

pub fn check_pieces(places: &[(u64, u64)]) -> Result<()> {
    if places.len() > limits::SPARSE_PIECES {
        bail!("it is in more than {} pieces, which is refused", limits::SPARSE_PIECES);
    }
    Ok(())
}

/// Pieces come in order, within the file, and as many bytes as are stored.
pub fn check_sparse(entry: &Entry, stored: u64) -> Result<()> {
    check_pieces(&entry.places)?;
    let (mut end, mut sum) = (0u64, 0u64);
    for &(offset, length) in &entry.places {
        let last = offset.checked_add(length).filter(|last| *last <= entry.size);
        match last {
            Some(last) if offset >= end => end = last,
            _ => bail!("the table of a sparse file is wrong: its pieces overlap, or do not lie in the file"),
        }
        sum += length;
    }
    if sum > stored {
        bail!("the table of a sparse file speaks of {sum} bytes, and {stored} are there");
    }
    if entry.size > limits::UNPACKED {
        bail!("it has {} bytes; {} are taken", entry.size, limits::UNPACKED);
    }
    Ok(())
}

pub fn until_nul(field: &[u8]) -> &[u8] {
    &field[..field.iter().position(|byte| *byte == 0).unwrap_or(field.len())]
}

pub fn decimal(text: &[u8]) -> Result<u64> {
    let digits = std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| anyhow!("`{}` is not a number", text.escape_ascii()))
}

pub fn number(field: &[u8]) -> Result<u64> {
    u64::try_from(signed(field)?).map_err(|_| anyhow!("it is negative"))
}

/// Octal digits, or what GNU tar makes of numbers too large for them: the first
/// byte's highest bit, and then the number itself in two's complement.
pub fn signed(field: &[u8]) -> Result<i64> {
    if field[0] & 0x80 != 0 {
        let negative = field[0] & 0x40 != 0;
        let first = if negative { field[0] } else { field[0] & 0x7f };
        let mut value: i128 = if negative { i128::from(first as i8) } else { i128::from(first) };
        for byte in &field[1..] {
            value = (value << 8) | i128::from(*byte);
        }
        return i64::try_from(value).map_err(|_| anyhow!("it is beyond 64 bits"));
    }
    let text = std::str::from_utf8(until_nul(field)).unwrap_or("?").trim_matches(' ');
    if text.is_empty() {
        return Ok(0);
    }
    if text.bytes().any(|byte| !byte.is_ascii_digit()) {
        bail!("`{}` is not an octal number", field.escape_ascii());
    }
    i64::from_str_radix(text, 8).map_err(|_| anyhow!("`{}` is not an octal number", field.escape_ascii()))
}
