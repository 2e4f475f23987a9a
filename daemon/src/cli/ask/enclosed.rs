//! Files that go with a command: read, converted where they must be, and handed over in pieces.

use super::Line;
use super::convert::{Ffmpeg, wav_of};
use crate::cli::look::data_of;
use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hob_doors::{Reply, Request};
use hob_events::{Frame, Medium, MediumId};
use hob_model::media::{document, image, sound};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Bytes of a piece: with Base64 and the rest of its line well under what a line may have.
const PIECE: usize = 512 * 1024;

/// Files on the command line, by what they are.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Files {
    /// A document to read: UTF-8 text, a megabyte at most.
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: Vec<PathBuf>,
    /// A picture to look at; several are seen in their order.
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    image: Vec<PathBuf>,
    /// A sound to listen to; 30 seconds of it are heard.
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    audio: Vec<PathBuf>,
    /// A film to look at, as 32 pictures; needs ffmpeg.
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    video: Vec<PathBuf>,
    /// What a camera of the running hob shows at this moment, by its name in the settings.
    #[arg(long, value_name = "NAME")]
    camera: Vec<String>,
}

/// What a file became.
enum Read {
    Document(Vec<u8>),
    Image(Vec<u8>),
    Audio(Vec<u8>),
    Video(Vec<(u64, Vec<u8>)>),
}

impl Files {
    /// Reads all files, those that hob does not know through `ffmpeg`, and hands them over.
    pub(super) async fn hand_over(&self, line: &mut Line, ffmpeg: &str) -> anyhow::Result<Vec<Value>> {
        let ffmpeg = Ffmpeg { program: ffmpeg };
        let shown = self.camera.iter().map(|name| json!({ "kind": "camera", "name": name }));
        let mut media: Vec<Value> = shown.collect();
        for read in self.read(ffmpeg)? {
            let medium = match read {
                Read::Document(bytes) => Medium::Document { id: upload(line, &bytes).await? },
                Read::Image(bytes) => Medium::Image { id: upload(line, &bytes).await? },
                Read::Audio(bytes) => Medium::Audio { id: upload(line, &bytes).await? },
                Read::Video(pictures) => {
                    let mut frames = Vec::with_capacity(pictures.len());
                    for (at_ms, bytes) in pictures {
                        frames.push(Frame { at_ms, id: upload(line, &bytes).await? });
                    }
                    Medium::Video { frames }
                }
            };
            media.push(serde_json::to_value(medium)?);
        }
        Ok(media)
    }

    fn read(&self, ffmpeg: Ffmpeg<'_>) -> anyhow::Result<Vec<Read>> {
        let documents = self.file.iter().map(|path| document(path).map(Read::Document));
        let images = self.image.iter().map(|path| picture(path, ffmpeg).map(Read::Image));
        let sounds = self.audio.iter().map(|path| spoken(path, ffmpeg).map(Read::Audio));
        let films = self.video.iter().map(|path| {
            let frames = ffmpeg.film(path)?;
            let ms = |at: std::time::Duration| u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
            Ok(Read::Video(frames.into_iter().map(|(at, bytes)| (ms(at), bytes)).collect()))
        });
        documents.chain(images).chain(sounds).chain(films).collect()
    }
}

fn bytes_of(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// A document, looked at before it is handed over.
fn document(path: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes = bytes_of(path)?;
    document::decode(&bytes).with_context(|| format!("{} cannot be read as a document", path.display()))?;
    Ok(bytes)
}

/// A picture as hob reads it, whole.
fn picture(path: &Path, ffmpeg: Ffmpeg<'_>) -> anyhow::Result<Vec<u8>> {
    let bytes = bytes_of(path)?;
    let known = [&b"\x89PNG"[..], &b"\xFF\xD8\xFF"[..]].iter().any(|magic| bytes.starts_with(magic));
    let webp = bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP");
    let bytes = if known || webp { bytes } else { ffmpeg.picture(path)? };
    image::decode(&bytes).with_context(|| format!("{} cannot be shown", path.display()))?;
    Ok(bytes)
}

/// A sound as hob reads it.
fn spoken(path: &Path, ffmpeg: Ffmpeg<'_>) -> anyhow::Result<Vec<u8>> {
    let bytes = bytes_of(path)?;
    let known = bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WAVE");
    // WAV is a wrapper too: what is in it may be something that only ffmpeg knows.
    let bytes = if known && sound::decode_wav(&bytes).is_ok() { bytes } else { ffmpeg.sound(path)? };
    let sound = sound::decode_wav(&bytes).with_context(|| format!("{} cannot be heard", path.display()))?;
    if !sound.lost().is_zero() {
        tracing::warn!(file = %path.display(), lost = ?sound.lost(), "only the first 30 seconds are heard");
        // An hour of music need not lie on the shelf for them.
        return Ok(wav_of(&sound));
    }
    Ok(bytes)
}

async fn upload(line: &mut Line, bytes: &[u8]) -> anyhow::Result<MediumId> {
    let begun = data(line, Request::Upload).await?;
    let upload = begun["upload"].as_u64().context("hob began no upload")?;
    for piece in bytes.chunks(PIECE) {
        line.send(Request::Piece { upload, data: STANDARD.encode(piece) }).await?;
        match line.next().await? {
            Reply::Done => {}
            Reply::Error { code, message } => bail!("{message} [{code}]"),
            other @ (Reply::Accepted { .. }
            | Reply::Status(_)
            | Reply::Reading { .. }
            | Reply::Text { .. }
            | Reply::Final { .. }
            | Reply::Progress { .. }
            | Reply::Data { .. }) => bail!("hob answered an upload with {other:?}"),
        }
    }
    let whole = data(line, Request::Uploaded { upload }).await?;
    Ok(whole["id"].as_str().context("hob gave no id")?.parse()?)
}

async fn data(line: &mut Line, request: Request) -> anyhow::Result<Value> {
    line.send(request).await?;
    data_of(line.next().await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_sound_only_what_is_heard_is_handed_over() {
        let folder = tempfile::tempdir().unwrap();
        // 31 seconds of silence, of 8 bits, 8,000 a second.
        let samples = vec![128_u8; 31 * 8_000];
        let size = u32::try_from(samples.len()).unwrap();
        let header =
            [&b"RIFF"[..], &(size + 36).to_le_bytes(), b"WAVEfmt ", &16_u32.to_le_bytes(), &[1, 0, 1, 0]].concat();
        let rates = [8_000_u32.to_le_bytes(), 8_000_u32.to_le_bytes()].concat();
        let wav = [&header[..], &rates, &[1, 0, 8, 0], b"data", &size.to_le_bytes(), &samples].concat();
        let path = folder.path().join("long.wav");
        std::fs::write(&path, wav).unwrap();
        let heard = spoken(&path, Ffmpeg { program: "/nowhere" }).unwrap();
        let sound = sound::decode_wav(&heard).unwrap();
        assert_eq!((sound.length().as_secs(), sound.lost().is_zero()), (30, true));
    }
}
