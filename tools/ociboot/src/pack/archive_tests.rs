//! What archives may say, in all the forms that writers have for it.

use std::io::Read;

use super::*;

/// A header with its checksum; the fields are given by their place.
fn header(name: &str, kind: u8, size: u64, fields: &[(usize, &[u8])]) -> Vec<u8> {
    let mut block = vec![0; BLOCK];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[100..107].copy_from_slice(b"0000644");
    block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    block[156] = kind;
    block[257..265].copy_from_slice(b"ustar\x0000");
    for (place, bytes) in fields {
        block[*place..place + bytes.len()].copy_from_slice(bytes);
    }
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

fn pax(records: &[(&str, &str)]) -> Vec<u8> {
    let mut text = String::new();
    for (name, value) in records {
        let rest = name.len() + value.len() + 3;
        let mut length = rest + 1;
        while length != rest + length.to_string().len() {
            length += 1;
        }
        text.push_str(&format!("{length} {name}={value}\n"));
    }
    [header("pax", b'x', text.len() as u64, &[]), padded(text.as_bytes())].concat()
}

/// The first entry, its contents and its holes as dots.
fn first(archive: &[u8]) -> Result<(Entry, String)> {
    let mut archive = Archive::new(archive);
    let entry = archive.next()?.context("there is none")?;
    let mut text = vec![b'.'; entry.size as usize];
    for (offset, length) in &entry.places {
        archive.data().read_exact(&mut text[*offset as usize..(offset + length) as usize])?;
    }
    Ok((entry, String::from_utf8(text)?))
}

#[test]
fn numbers() {
    for (field, expected) in [
        (&b"0000644\0"[..], Some(0o644)),
        (b"   644 \0", Some(0o644)),
        (b"\0\0\0\0", Some(0)),
        (b"\x80\0\0\0\0\x20\0\0", Some(1 << 21)),
        (b"\x80\0\0\0\xff\xff\xff\xff", Some((1 << 32) - 1)),
        (b"\xff\xff\xff\xff\xff\xff\xff\xfe", Some(-2)),
        (b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", None),
        (b"0000888\0", None),
        (b"-1\0", None),
    ] {
        assert_eq!(signed(field).ok(), expected, "{}", field.escape_ascii());
    }
}

#[test]
fn owners_beyond_the_octal_field() {
    let big = header("x", b'0', 0, &[(108, b"\x80\0\0\0\0\x30\0\0"), (116, b"7777777\0")]);
    let (entry, _) = first(&big).unwrap();
    assert_eq!((entry.uid, entry.gid), (3 << 20, 0o7777777));
    let records = [pax(&[("uid", "4294967294"), ("gid", "3000000")]), header("x", b'0', 0, &[])].concat();
    let (entry, _) = first(&records).unwrap();
    assert_eq!((entry.uid, entry.gid), (4294967294, 3000000));
    assert!(first(&[pax(&[("uid", "4294967296")]), header("x", b'0', 0, &[])].concat()).is_err());
}

#[test]
fn long_names() {
    let name = "n".repeat(200) + "/" + &"m".repeat(200);
    let with_nul = padded(format!("{name}\0").as_bytes());
    let gnu = [header("././@LongLink", b'L', 402, &[]), with_nul.clone(), header("short", b'0', 0, &[])].concat();
    let pax = [pax(&[("path", &name)]), header("short", b'0', 0, &[])].concat();
    for archive in [gnu, pax] {
        assert_eq!(first(&archive).unwrap().0.path, name.as_bytes());
    }
    let target = [header("././@LongLink", b'K', 402, &[]), with_nul, header("l", b'2', 0, &[])].concat();
    assert_eq!(first(&target).unwrap().0.target, name.as_bytes());
    let split = header("name", b'0', 0, &[(345, b"folder/deep")]);
    assert_eq!(first(&split).unwrap().0.path, b"folder/deep/name");
}

#[test]
fn attributes_devices_and_times() {
    let records = pax(&[("SCHILY.xattr.security.capability", "\u{1}\n=x"), ("mtime", "-5.25")]);
    let (entry, _) = first(&[records, header("x", b'0', 0, &[])].concat()).unwrap();
    assert_eq!(entry.xattrs[&b"security.capability"[..]], b"\x01\n=x");
    assert_eq!(entry.mtime, -5);
    let (entry, _) = first(&header("null", b'3', 0, &[(329, b"0000001\0"), (337, b"0000003\0")])).unwrap();
    assert_eq!((entry.kind, entry.device), (EntryKind::Character, (1, 3)));
    assert_eq!(first(&header("f", b'6', 0, &[])).unwrap().0.kind, EntryKind::Fifo);
    assert_eq!(first(&header("old/", b'0', 0, &[])).unwrap().0.kind, EntryKind::Folder);
}

#[test]
fn sparse_in_all_forms() {
    // Ten bytes: ".ab..cd..." with four of them stored.
    let data = padded(b"abcd");
    let digits = |number: u64| format!("{number:011o}\0").into_bytes();
    let table = [digits(1), digits(2), digits(5), digits(2)].concat();
    let gnu = [header("x", b'S', 4, &[(257, b"ustar  \0"), (386, &table), (483, &digits(10))]), data.clone()];
    let pieces = [("GNU.sparse.offset", "1"), ("GNU.sparse.numbytes", "2"), ("GNU.sparse.offset", "5")];
    let form0 = [&[("GNU.sparse.size", "10")], &pieces[..], &[("GNU.sparse.numbytes", "2")]].concat();
    let form1 = [("GNU.sparse.size", "10"), ("GNU.sparse.map", "1,2,5,2"), ("GNU.sparse.name", "x")];
    let form2 = [("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.realsize", "10")];
    let map = padded(b"2\n1\n2\n5\n2\n");
    for archive in [
        gnu.concat(),
        [pax(&form0), header("x", b'0', 4, &[]), data.clone()].concat(),
        [pax(&form1), header("GNUSparseFile.0/x", b'0', 4, &[]), data.clone()].concat(),
        [pax(&form2), header("x", b'0', 516, &[]), map, data.clone()].concat(),
    ] {
        let (entry, text) = first(&archive).unwrap();
        assert_eq!((&entry.path[..], &text[..]), (&b"x"[..], ".ab..cd..."));
    }
    for map in ["5,2,1,2", "1,3,2,2", "9,2", "1,2,5", "1,9", "18446744073709551615,2", "a,b"] {
        let records = pax(&[("GNU.sparse.size", "10"), ("GNU.sparse.map", map)]);
        assert!(first(&[records, header("x", b'0', 4, &[]), data.clone()].concat()).is_err(), "{map}");
    }
}

#[test]
fn refused() {
    let records = |text: &str| [header("p", b'x', text.len() as u64, &[]), padded(text.as_bytes())].concat();
    for (archive, said) in [
        (header("x", b'L', 1 << 30, &[]), "bytes"),
        (header("x", b'x', 1 << 30, &[]), "bytes"),
        (header("x", b'Z', 0, &[]), "not known"),
        (header("x", b'0', 0, &[(124, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")]), "negative"),
        (header("x", b'0', 0, &[(124, b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff")]), "are taken"),
        (header("x", b'0', 0, &[(124, b"\x80\0\0\0\0\xff\xff\xff\xff\xff\xff\xff")]), "are taken"),
        (records("99 path=x\n"), "well-formed"),
        (records("no path=x\n"), "well-formed"),
        (records("0 path=x\n"), "well-formed"),
        (header("x", b'1', 0, &[(108, b"zz")]), "octal"),
    ] {
        let error = first(&archive).map(|(entry, _)| entry).expect_err(said);
        assert!(format!("{error:#}").contains(said), "{error:#}, and not: {said}");
    }
}
