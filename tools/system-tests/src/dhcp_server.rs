//! A DHCP server for a guest, at the other end of its network device: QEMU's
//! `-netdev dgram` makes a UDP datagram of each Ethernet frame.
//!
//! What it answers to REQUESTs is a list; the last counts for all that follow.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;

/// The server's own address, the guest's, and how long that holds. It is to be
/// renewed after a second, from anybody after two.
const SERVER: [u8; 4] = [10, 7, 0, 9];
const GUEST: [u8; 4] = [10, 7, 0, 15];

/// The options of an answer, besides those that all have: each with its number.
pub type Options = Vec<(u8, Vec<u8>)>;

pub struct DhcpServer {
    /// For QEMU's command line.
    pub arguments: Vec<String>,
    answered: Arc<AtomicUsize>,
}

impl DhcpServer {
    /// Serves until the process ends.
    pub fn start(answers: Vec<Options>) -> Result<DhcpServer> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        // A port that is free: QEMU takes it in a moment.
        let theirs = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
        let ours = socket.local_addr()?.port();
        let netdev = format!(
            "dgram,id=net0,local.type=inet,local.host=127.0.0.1,local.port={theirs},\
             remote.type=inet,remote.host=127.0.0.1,remote.port={ours}"
        );
        let arguments = ["-netdev", &netdev, "-device", "virtio-net-pci,netdev=net0"].map(String::from).to_vec();
        let answered = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&answered);
        socket.set_read_timeout(Some(Duration::from_secs(600)))?;
        std::thread::spawn(move || {
            let mut frame = [0; 2048];
            while let Ok((length, from)) = socket.recv_from(&mut frame) {
                let number = count.load(Ordering::Relaxed).min(answers.len() - 1);
                if let Some((kind, answer)) = answer(&frame[..length], &answers[number]) {
                    let _ = socket.send_to(&answer, from);
                    count.fetch_add(usize::from(kind == 5), Ordering::Relaxed);
                }
            }
        });
        Ok(DhcpServer { arguments, answered })
    }

    /// How many REQUESTs were answered.
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }
}

/// The answer's type, and the frame; `None`: it is no DHCP request.
fn answer(frame: &[u8], options: &Options) -> Option<(u8, Vec<u8>)> {
    // Ethernet, IPv4 without options, UDP to port 67.
    if frame.get(12..15)? != [8, 0, 0x45] || frame.get(23)? != &17 || frame.get(36..38)? != [0, 67] {
        return None;
    }
    let request = frame.get(42..)?;
    let kind = match request.get(240..243)? {
        [53, 1, 1] => 2, // DISCOVER: OFFER
        [53, 1, 3] => 5, // REQUEST: ACK
        _ => return None,
    };
    let mut message = vec![0; 240];
    message[..3].copy_from_slice(&[2, 1, 6]);
    message[4..8].copy_from_slice(request.get(4..8)?);
    message[16..20].copy_from_slice(&GUEST);
    message[28..34].copy_from_slice(request.get(28..34)?);
    message[236..].copy_from_slice(&[99, 130, 83, 99]);
    let mut all = vec![
        (53, vec![kind]),
        (54, SERVER.to_vec()),
        (1, vec![255, 255, 255, 0]),
        (51, 600u32.to_be_bytes().to_vec()),
        (58, 1u32.to_be_bytes().to_vec()),
        (59, 2u32.to_be_bytes().to_vec()),
    ];
    all.extend(options.iter().cloned());
    for (code, value) in all {
        message.extend([code, value.len() as u8]);
        message.extend(value);
    }
    message.push(255);
    let length = |bytes: usize| (bytes as u16).to_be_bytes();
    let mut ip =
        [&[0x45, 0][..], &length(28 + message.len()), &[0, 0, 0, 0, 64, 17, 0, 0], &SERVER, &[255; 4]].concat();
    let sum = ip.chunks(2).fold(0u32, |sum, pair| sum + u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let sum = !(((sum & 0xffff) + (sum >> 16)) as u16);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    // To everybody, from a station of ours; without UDP's checksum.
    let ethernet = [&[0xff; 6][..], &[2, 0, 0, 0, 0, 9], &[8, 0]].concat();
    let udp = [&[0, 67, 0, 68][..], &length(8 + message.len()), &[0, 0]].concat();
    Some((kind, [ethernet, ip, udp, message].concat()))
}
