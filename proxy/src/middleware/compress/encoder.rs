//! Content codings (RFC 9110 section 8.4.1), as machines of bytes.

use std::fmt;
use std::io::{self, Write};

use crate::limits;

/// A coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// `gzip`
    Gzip,
    /// `br`
    Brotli,
    /// `zstd`
    Zstd,
}

impl Coding {
    /// As in `Content-Encoding`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    /// The coding of this name.
    pub fn of(name: &[u8]) -> Option<Self> {
        let all = [Self::Gzip, Self::Brotli, Self::Zstd];
        all.into_iter()
            .find(|coding| coding.name().as_bytes() == name)
    }
}

/// One body on its way through a coding. Its memory is bounded by the windows in `limits`.
pub struct Encoder(Machine);

enum Machine {
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Encoder {
    /// For one body.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn new(coding: Coding) -> io::Result<Self> {
        let out = Vec::new();
        Ok(Self(match coding {
            Coding::Gzip => {
                let level = flate2::Compression::new(limits::GZIP_LEVEL);
                Machine::Gzip(flate2::write::GzEncoder::new(out, level))
            }
            Coding::Brotli => Machine::Brotli(Box::new(brotli::CompressorWriter::new(
                out,
                limits::BROTLI_STEP_BYTES,
                limits::BROTLI_QUALITY,
                limits::COMPRESS_WINDOW_LOG,
            ))),
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(out, limits::ZSTD_LEVEL)?;
                let window = zstd::stream::raw::CParameter::WindowLog(limits::COMPRESS_WINDOW_LOG);
                encoder.set_parameter(window)?;
                Machine::Zstd(encoder)
            }
        }))
    }

    /// Takes payload; what comes out of it now is appended to `out`.
    ///
    /// # Errors
    /// The coding's library failed.
    pub fn write(&mut self, payload: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        match &mut self.0 {
            Machine::Gzip(encoder) => encoder.write_all(payload)?,
            Machine::Brotli(encoder) => encoder.write_all(payload)?,
            Machine::Zstd(encoder) => encoder.write_all(payload)?,
        }
        self.take(out);
        Ok(())
    }

    /// Appends all that was taken so far, decodable without what follows.
    ///
    /// # Errors
    /// The coding's library failed.
    pub fn flush(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        match &mut self.0 {
            Machine::Gzip(encoder) => encoder.flush()?,
            Machine::Brotli(encoder) => encoder.flush()?,
            Machine::Zstd(encoder) => encoder.flush()?,
        }
        self.take(out);
        Ok(())
    }

    /// Ends the body.
    ///
    /// # Errors
    /// The coding's library failed.
    pub fn finish(self, out: &mut Vec<u8>) -> io::Result<()> {
        let mut rest = match self.0 {
            Machine::Gzip(encoder) => encoder.finish()?,
            Machine::Brotli(encoder) => encoder.into_inner(),
            Machine::Zstd(encoder) => encoder.finish()?,
        };
        out.append(&mut rest);
        Ok(())
    }

    fn take(&mut self, out: &mut Vec<u8>) {
        out.append(match &mut self.0 {
            Machine::Gzip(encoder) => encoder.get_mut(),
            Machine::Brotli(encoder) => encoder.get_mut(),
            Machine::Zstd(encoder) => encoder.get_mut(),
        });
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self.0 {
            Machine::Gzip(_) => "Encoder(gzip)",
            Machine::Brotli(_) => "Encoder(br)",
            Machine::Zstd(_) => "Encoder(zstd)",
        })
    }
}
