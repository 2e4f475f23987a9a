//! A picture in memory, and how bytes become one.

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};
use std::io::Cursor;

/// Pixels that a picture may have. 50 megapixels are 150 MB, and twice that while they are turned or lose their opacity;
/// the model sees 2.6 megapixels at most (1,120 soft tokens of 48 × 48).
pub const MOST_PIXELS: u64 = 50_000_000;

/// Pixels on a side. A strip of one pixel by millions would first be made as wide as a patch, and larger than any memory.
pub const MOST_SIDE: u32 = 65_535;

/// Bytes that a decoder may set aside beside the picture itself. A progressive JPEG is kept as coefficients of 16 bits until its
/// last scan: 44 megapixels as cameras and phones write them (4:2:0), 22 with all colours in full (4:4:4).
const DECODER_BYTES: u64 = 128 << 20;

/// An upright picture of 8-bit RGB. It has at least one pixel, and at most [`MOST_PIXELS`] and
/// [`MOST_SIDE`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    width: u32,
    height: u32,
    rgb: Vec<u8>,
}

impl Picture {
    /// A frame as a camera gives it: `height` rows of `width` pixels of three bytes.
    ///
    /// # Errors
    /// [`FrameError`] when the bytes are not that many, or more than hob handles.
    pub fn from_rgb(width: u32, height: u32, rgb: Vec<u8>) -> Result<Self, FrameError> {
        let pixels = u64::from(width) * u64::from(height);
        if pixels == 0 {
            return Err(FrameError::Empty { width, height });
        }
        if !fits(width, height) {
            return Err(FrameError::TooLarge { width, height });
        }
        if rgb.len() as u64 != pixels * 3 {
            return Err(FrameError::Bytes { width, height, bytes: rgb.len() });
        }
        Ok(Self { width, height, rgb })
    }

    /// In pixels.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// In pixels.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Row after row, three bytes a pixel.
    #[must_use]
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }
}

fn fits(width: u32, height: u32) -> bool {
    width.max(height) <= MOST_SIDE && u64::from(width) * u64::from(height) <= MOST_PIXELS
}

/// Why bytes from a camera are no frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A side is zero.
    #[error("a frame of {width} x {height} pixels shows nothing")]
    Empty {
        /// In pixels.
        width: u32,
        /// In pixels.
        height: u32,
    },
    /// More pixels than [`MOST_PIXELS`], or than [`MOST_SIDE`] on a side.
    #[error("a frame of {width} x {height} pixels is more than hob handles ({MOST_PIXELS}); choose a smaller mode")]
    TooLarge {
        /// In pixels.
        width: u32,
        /// In pixels.
        height: u32,
    },
    /// The bytes do not fill the frame, or overflow it.
    #[error("{bytes} bytes are no frame of {width} x {height} pixels of RGB")]
    Bytes {
        /// In pixels.
        width: u32,
        /// In pixels.
        height: u32,
        /// As given.
        bytes: usize,
    },
}

/// Why bytes are no picture.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadImageError {
    /// No bytes.
    #[error("the picture is empty: no bytes")]
    Empty,
    /// The first bytes are of none of the formats.
    #[error("this is no picture that hob reads; it reads PNG, JPEG and WebP")]
    Format,
    /// The header is of one of the formats, and what follows is not as the format demands.
    #[error("the {format} picture is damaged: {reason}")]
    Damaged {
        /// Its name, for people.
        format: &'static str,
        /// What the decoder found.
        reason: String,
    },
    /// The file stops before the picture does.
    #[error("the {format} picture is cut off; copy or take it again")]
    CutOff {
        /// Its name, for people.
        format: &'static str,
    },
    /// A progressive JPEG that takes more memory than its pixels. Nothing was decoded.
    #[error(
        "a progressive JPEG of {width} x {height} pixels takes {} MB to decode (hob takes {} MB): save it as a baseline JPEG, \
         or scale it down",
        bytes >> 20,
        DECODER_BYTES >> 20
    )]
    Progressive {
        /// In pixels.
        width: u16,
        /// In pixels.
        height: u16,
        /// Of its coefficients.
        bytes: u64,
    },
    /// More pixels than [`MOST_PIXELS`], more than [`MOST_SIDE`] on a side, or so many with more than 8 bits a colour. Nothing
    /// was decoded.
    #[error(
        "a picture of {width} x {height} pixels is too large (hob reads up to {MOST_PIXELS}, {MOST_SIDE} on a side, with \
         8 bits a colour); scale it down, the model sees less than 3 million of them"
    )]
    TooLarge {
        /// In pixels.
        width: u32,
        /// In pixels.
        height: u32,
    },
}

/// Reads a PNG, JPEG or WebP, known by its content. The picture comes out upright, as its EXIF says, and its opacity is
/// ignored: so does Transformers with a picture that it is given as a file (`load_image`). Of an animation the first
/// picture is read.
///
/// # Errors
/// [`ReadImageError`]: a picture that is too large is refused by its header, before it is decoded.
pub fn decode(bytes: &[u8]) -> Result<Picture, ReadImageError> {
    if bytes.is_empty() {
        return Err(ReadImageError::Empty);
    }
    let (format, name) = format_of(bytes).ok_or(ReadImageError::Format)?;
    if format == ImageFormat::Jpeg {
        let walked = walk_jpeg(bytes).ok_or(ReadImageError::CutOff { format: name })?;
        // The decoder asks nobody for these.
        if let Some(Progressive { width, height, bytes }) = walked.filter(|frame| frame.bytes > DECODER_BYTES)
            && fits(width.into(), height.into())
        {
            return Err(ReadImageError::Progressive { width, height, bytes });
        }
    }
    let failed = |error: ImageError| failed(name, &error);
    let mut decoder = ImageReader::with_format(Cursor::new(bytes), format).into_decoder().map_err(failed)?;
    let (width, height) = decoder.dimensions();
    if !fits(width, height) || decoder.total_bytes() > MOST_PIXELS * 4 {
        return Err(ReadImageError::TooLarge { width, height });
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some(decoder.total_bytes() + DECODER_BYTES);
    decoder.set_limits(limits).map_err(failed)?;
    // EXIF that cannot be read is no reason not to look at the picture.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(failed)?;
    picture.apply_orientation(orientation);
    let rgb = picture.into_rgb8();
    let (width, height) = rgb.dimensions();
    Picture::from_rgb(width, height, rgb.into_raw())
        .map_err(|error| ReadImageError::Damaged { format: name, reason: error.to_string() })
}

fn format_of(bytes: &[u8]) -> Option<(ImageFormat, &'static str)> {
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        Some((ImageFormat::Png, "PNG"))
    } else if bytes.starts_with(&[0xFF, 0xD8, 0xFF]) {
        Some((ImageFormat::Jpeg, "JPEG"))
    } else if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        Some((ImageFormat::WebP, "WebP"))
    } else {
        None
    }
}

fn failed(format: &'static str, error: &ImageError) -> ReadImageError {
    let cut_off = matches!(error, ImageError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof);
    if cut_off {
        return ReadImageError::CutOff { format };
    }
    ReadImageError::Damaged { format, reason: error.to_string() }
}

/// What a progressive JPEG takes until its last scan is read.
struct Progressive {
    width: u16,
    height: u16,
    /// Of all coefficients.
    bytes: u64,
}

/// Goes through a JPEG to its end; nothing when it has none. The decoder paints what is missing grey, which a model would
/// describe as fog. Tells the largest progressive frame that it holds.
///
/// Walks from segment to segment, since a preview within has an end of its own.
fn walk_jpeg(bytes: &[u8]) -> Option<Option<Progressive>> {
    const END: u8 = 0xD9;
    let mut largest: Option<Progressive> = None;
    let mut rest = bytes.get(2..).unwrap_or_default();
    loop {
        // In a scan 0xFF is followed by 0, or by the number of a restart; between segments it may be repeated.
        let marker =
            rest.windows(2).position(|pair| matches!(pair, [0xFF, code] if !matches!(code, 0 | 0xFF | 0xD0..=0xD7)));
        let (code, after) = marker.and_then(|at| rest.get(at + 1..)).and_then(<[u8]>::split_first)?;
        if *code == END {
            return Some(largest);
        }
        let frame = is_progressive(*code).then(|| progressive(after)).flatten();
        largest = largest.into_iter().chain(frame).max_by_key(|frame| frame.bytes);
        let length = match (*code, after) {
            // Has no length, and stands for nothing.
            (0x01 | 0xD8, _) => 0,
            (_, [high, low, ..]) => usize::from(u16::from_be_bytes([*high, *low])),
            _ => return None,
        };
        rest = after.get(length..)?;
    }
}

/// Whether a marker begins the header of a progressive frame: of Huffman or of arithmetic codes, on its own or not.
fn is_progressive(code: u8) -> bool {
    matches!(code, 0xC2 | 0xC6 | 0xCA | 0xCE)
}

/// Reads the header of a frame, from its length on: a coefficient of 16 bits for each sample of each of its colours.
fn progressive(header: &[u8]) -> Option<Progressive> {
    // Length and bits, sides, how many colours; of each its number, its samples across and down in one byte, its table.
    let [_, _, _, h1, h0, w1, w0, colours, rest @ ..] = header else { return None };
    let (width, height) = (u16::from_be_bytes([*w1, *w0]), u16::from_be_bytes([*h1, *h0]));
    let samples = rest.chunks_exact(3).take(usize::from(*colours)).filter_map(|colour| colour.get(1));
    let samples: Vec<(u64, u64)> = samples.map(|both| (u64::from(both >> 4), u64::from(both & 15))).collect();
    let across = samples.iter().map(|(across, _)| *across).max()?.max(1);
    let down = samples.iter().map(|(_, down)| *down).max()?.max(1);
    // In whole blocks of 8 by 8, as many as the colour with the most samples has in a step.
    let steps = u64::from(width).div_ceil(8 * across) * u64::from(height).div_ceil(8 * down);
    let blocks: u64 = samples.iter().map(|(across, down)| across * down).sum();
    Some(Progressive { width, height, bytes: steps * blocks * 64 * 2 })
}

#[cfg(test)]
mod tests;
