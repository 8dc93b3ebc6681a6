//! Digests of contents, as image documents name them: `sha256:HEX`, `sha512:HEX`.

use std::io::Read;

use anyhow::{Result, bail};
use sha2::{Digest as _, Sha256, Sha512};

/// A digest that contents must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    algorithm: Algorithm,
    hex: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Sha256,
    Sha512,
}

impl Digest {
    pub fn parse(text: &str) -> Result<Digest> {
        let (name, hex) = text.split_once(':').unwrap_or(("", text));
        let (algorithm, length) = match name {
            "sha256" => (Algorithm::Sha256, 64),
            "sha512" => (Algorithm::Sha512, 128),
            _ => bail!("the digest `{text}` is neither sha256:… nor sha512:…"),
        };
        if hex.len() != length || !hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            bail!("the digest `{text}` does not have {length} hexadecimal digits, in small letters");
        }
        Ok(Digest { algorithm, hex: hex.into() })
    }

    /// Where an image layout has what has this digest.
    pub fn blob_path(&self) -> String {
        format!("blobs/{}/{}", self.name(), self.hex)
    }

    fn name(&self) -> &'static str {
        match self.algorithm {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha512 => "sha512",
        }
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}:{}", self.name(), self.hex)
    }
}

/// Hashes what is read through it.
pub struct Hashed<R> {
    input: R,
    state: State,
    pub read: u64,
}

enum State {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl<R: Read> Hashed<R> {
    pub fn new(input: R, like: &Digest) -> Self {
        let state = match like.algorithm {
            Algorithm::Sha256 => State::Sha256(Sha256::new()),
            Algorithm::Sha512 => State::Sha512(Sha512::new()),
        };
        Hashed { input, state, read: 0 }
    }

    /// Whether all that was read has the digest.
    pub fn verify(self, expected: &Digest) -> Result<()> {
        let hex = match self.state {
            State::Sha256(state) => hex(&state.finalize()),
            State::Sha512(state) => hex(&state.finalize()),
        };
        if hex != expected.hex {
            bail!("its digest is {}:{hex}, and should be {expected}: it is damaged", expected.name());
        }
        Ok(())
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.input.read(buffer)?;
        match &mut self.state {
            State::Sha256(state) => state.update(&buffer[..count]),
            State::Sha512(state) => state.update(&buffer[..count]),
        }
        self.read += count as u64;
        Ok(count)
    }
}

/// The digits of bytes.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let digits = "0".repeat(64);
        assert!(Digest::parse(&format!("sha256:{digits}")).is_ok());
        for text in ["", "sha256:", "md5:00", "sha256:../../etc/passwd", &format!("sha256:{}", "G".repeat(64)), &digits]
        {
            assert!(Digest::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn verified() {
        let of_abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        for (text, right) in [("abc", true), ("abd", false)] {
            let digest = Digest::parse(of_abc).unwrap();
            let mut hashed = Hashed::new(text.as_bytes(), &digest);
            std::io::copy(&mut hashed, &mut std::io::sink()).unwrap();
            assert_eq!(hashed.verify(&digest).is_ok(), right, "{text}");
        }
    }
}
