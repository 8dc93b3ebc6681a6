use super::*;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

const HARDWARE: [u8; 6] = [0x52, 0x54, 0, 1, 2, 3];

fn reply(options: &[&[u8]]) -> Vec<u8> {
    let mut message = vec![0; FIXED];
    message[..3].copy_from_slice(&[2, 1, 6]);
    message[4..8].copy_from_slice(&7u32.to_be_bytes());
    message[16..20].copy_from_slice(&[10, 0, 2, 15]);
    message[28..34].copy_from_slice(&HARDWARE);
    message[FIXED - 4..].copy_from_slice(&COOKIE);
    for option in options {
        message.push(option[0]);
        message.push((option.len() - 1) as u8);
        message.extend_from_slice(&option[1..]);
    }
    message.push(END);
    message
}

/// The first option `wanted`.
fn find(options: &[u8], wanted: u8) -> Option<&[u8]> {
    Options(options).find(|(code, _)| *code == wanted).map(|(_, value)| value)
}

fn full() -> Vec<u8> {
    reply(&[
        &[KIND, ACK],
        &[SERVER, 10, 0, 2, 2],
        &[SUBNET_MASK, 255, 255, 255, 0],
        &[ROUTER, 10, 0, 2, 2, 10, 0, 2, 1],
        &[NAME_SERVERS, 10, 0, 2, 3, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3],
        &[LEASE_TIME, 0, 1, 0x51, 0x80],
        b"\x0fexample.org",
        &[MTU, 5, 0xdc],
    ])
}

#[test]
fn a_request() {
    let request = Request {
        kind: REQUEST,
        transaction: 0x0102_0304,
        seconds: 5,
        hardware: HARDWARE,
        current: [0; 4],
        requested: Some([10, 0, 2, 15]),
        server: Some([10, 0, 2, 2]),
        hostname: b"box",
    };
    let written = request.write();
    let bytes = written.as_bytes();
    assert_eq!(bytes.len(), SHORTEST);
    assert_eq!(bytes[..16], [1, 1, 6, 0, 1, 2, 3, 4, 0, 5, 0x80, 0, 0, 0, 0, 0]);
    assert_eq!(bytes[28..36], [0x52, 0x54, 0, 1, 2, 3, 0, 0]);
    let options = &bytes[FIXED..];
    assert_eq!(find(options, KIND), Some(&[REQUEST][..]));
    assert_eq!(find(options, REQUESTED_ADDRESS), Some(&[10, 0, 2, 15][..]));
    assert_eq!(find(options, SERVER), Some(&[10, 0, 2, 2][..]));
    assert_eq!(find(options, HOST_NAME), Some(&b"box"[..]));
    assert_eq!(find(options, PARAMETERS), Some(&[1, 121, 3, 6, 15, 26][..]));
    let renewal = Request { current: [10, 0, 2, 15], requested: None, server: None, ..request };
    let written = renewal.write();
    let bytes = written.as_bytes();
    assert_eq!(bytes[10..16], [0, 0, 10, 0, 2, 15]);
    assert_eq!(find(&bytes[FIXED..], SERVER), None);
    // The longest there can be ends as it should.
    let longest = Request { hostname: &[b'x'; 300], ..request };
    let written = longest.write();
    assert_eq!(find(&written.as_bytes()[FIXED..], HOST_NAME).unwrap().len(), limits::HOSTNAME);
    assert!(!written.full);
}

#[test]
fn an_answer() {
    let bytes = full();
    let reply = Reply::read(&bytes, 7, HARDWARE).unwrap();
    assert_eq!((reply.kind(), reply.yours(), reply.prefix()), (ACK, Some([10, 0, 2, 15]), Some(24)));
    assert_eq!(reply.address(SERVER), Some([10, 0, 2, 2]));
    assert_eq!(reply.seconds(LEASE_TIME), Some(86_400));
    assert_eq!(reply.seconds(RENEWAL_TIME), None);
    assert_eq!(reply.mtu(), Some(1500));
    assert_eq!(reply.routes(&mut [0; _]).collect::<Vec<_>>(), [([0; 4], 0, [10, 0, 2, 2])]);
    assert_eq!(reply.name_servers(&mut [0; _]).collect::<Vec<_>>(), [[10, 0, 2, 3], [1; 4], [2; 4]]);
    assert_eq!(reply.domain().map(|domain| domain.as_str().to_string()), Some(String::from("example.org")));
    assert!(Reply::read(&bytes, 8, HARDWARE).is_none());
    assert!(Reply::read(&bytes, 7, [0; 6]).is_none());
    for place in [0, 1, 2, FIXED - 1] {
        let mut other = bytes.clone();
        other[place] ^= 1;
        assert!(Reply::read(&other, 7, HARDWARE).is_none(), "{place}");
    }
}

#[test]
fn cut_off_at_every_byte() {
    let bytes = full();
    for end in 0..=bytes.len() {
        let reply = Reply::read(&bytes[..end], 7, HARDWARE);
        assert_eq!(reply.is_some(), end >= FIXED, "{end}");
        if let Some(reply) = reply {
            for option in 0..=255 {
                reply.address(option);
            }
            let _ = (reply.prefix(), reply.domain());
            assert!(reply.routes(&mut [0; _]).count() <= 1 && reply.name_servers(&mut [0; _]).count() <= 3);
            // An option that is cut off is not there.
            assert_eq!(reply.mtu().is_some(), end >= bytes.len() - 1, "{end}");
        }
    }
}

#[test]
fn values_that_are_none() {
    for (options, prefix) in [
        (&[SUBNET_MASK, 255, 0, 255, 0][..], None),
        (&[SUBNET_MASK, 0, 0, 0, 0], None),
        (&[SUBNET_MASK, 255, 255], Some(8)),
        (&[SUBNET_MASK, 255, 255, 255, 255], Some(32)),
    ] {
        let bytes = reply(&[options]);
        assert_eq!(Reply::read(&bytes, 7, HARDWARE).unwrap().prefix(), prefix);
    }
    for domain in ["a\nnameserver 6.6.6.6", "", "a b", "\0"] {
        let option = [&[DOMAIN][..], domain.as_bytes()].concat();
        let bytes = reply(&[&option]);
        assert!(Reply::read(&bytes, 7, HARDWARE).unwrap().domain().is_none(), "{domain}");
    }
    for first in [0, 127, 224, 255] {
        let mut bytes = full();
        bytes[16] = first;
        assert!(Reply::read(&bytes, 7, HARDWARE).unwrap().yours().is_none());
    }
    let bytes = reply(&[&[MTU, 0, 1]]);
    assert!(Reply::read(&bytes, 7, HARDWARE).unwrap().mtu().is_none());
}

#[test]
fn classless_routes_count_instead_of_the_router() {
    for (option, routes) in [
        (
            &[0, 10, 0, 0, 1, 24, 192, 168, 7, 10, 0, 0, 2, 32, 1, 2, 3, 4, 0, 0, 0, 0][..],
            &[([0; 4], 0, [10, 0, 0, 1]), ([192, 168, 7, 0], 24, [10, 0, 0, 2]), ([1, 2, 3, 4], 32, [0; 4])][..],
        ),
        (&[12, 172, 31, 9, 9, 9, 9], &[([172, 16, 0, 0], 12, [9; 4])]),
        (&[33, 1, 2, 3, 4, 5, 6, 7, 8, 9], &[]),
        (&[8, 10, 1, 2, 3], &[]),
        (&[], &[]),
    ] {
        let bytes = reply(&[&[&[CLASSLESS_ROUTES][..], option].concat(), &[ROUTER, 9, 9, 9, 9]]);
        let read: Vec<_> = Reply::read(&bytes, 7, HARDWARE).unwrap().routes(&mut [0; _]).collect();
        assert_eq!(read, routes, "{option:?}");
    }
}

#[test]
fn options_in_the_fields_of_bootp() {
    let mut bytes = reply(&[&[OVERLOAD, 3]]);
    bytes[108..112].copy_from_slice(&[PAD, KIND, 1, OFFER]);
    bytes[112] = END;
    bytes[44..51].copy_from_slice(&[SERVER, 4, 1, 2, 3, 4, END]);
    let read = Reply::read(&bytes, 7, HARDWARE).unwrap();
    assert_eq!((read.kind(), read.address(SERVER)), (OFFER, Some([1, 2, 3, 4])));
    bytes[FIXED + 2] = 1;
    let read = Reply::read(&bytes, 7, HARDWARE).unwrap();
    assert_eq!((read.kind(), read.address(SERVER)), (OFFER, None));
}

#[test]
fn options_in_several_parts() {
    let mut route = vec![CLASSLESS_ROUTES, 24, 10];
    let mut bytes =
        reply(&[&route, &[NAME_SERVERS, 1, 2, 3, 4, 5], b"\x0fexample.", &[NAME_SERVERS, 6, 7, 8], b"\x0forg"]);
    route = vec![CLASSLESS_ROUTES, 8, 9, 10, 0, 0, 1];
    bytes.pop();
    bytes.extend([OVERLOAD, 1, 1, route[0], 6]);
    bytes.extend(&route[1..]);
    bytes.push(END);
    // The last part is in a field of BOOTP's.
    bytes[108..117].copy_from_slice(&[CLASSLESS_ROUTES, 5, 0, 10, 0, 0, 2, END, 0]);
    let read = Reply::read(&bytes, 7, HARDWARE).unwrap();
    let routes: Vec<_> = read.routes(&mut [0; _]).collect();
    assert_eq!(routes, [([10, 8, 9, 0], 24, [10, 0, 0, 1]), ([0; 4], 0, [10, 0, 0, 2])]);
    assert_eq!(read.name_servers(&mut [0; _]).collect::<Vec<_>>(), [[1, 2, 3, 4], [5, 6, 7, 8]]);
    assert_eq!(read.domain().unwrap().as_str(), "example.org");
}

#[test]
fn a_domain_of_any_length() {
    for (length, there) in [(255, true), (256, false), (1000, false)] {
        let parts: Vec<Vec<u8>> = vec![b'x'; length].chunks(200).map(|part| [&[DOMAIN], part].concat()).collect();
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let bytes = reply(&parts);
        let domain = Reply::read(&bytes, 7, HARDWARE).unwrap().domain();
        assert_eq!(domain.map(|domain| domain.as_bytes().len()), there.then_some(length), "{length}");
    }
}
