//! Holds the daemon's decoder to PyTorch on stand-ins for Gemma 4 E2B and E4B: `make test-parity`.
//!
//! `python -m pocket standins` makes random miniatures of both in two graph forms, one of them the published one, and in
//! every variant; with each lies what Transformers writes with the same weights. Every one is opened as the daemon opens a
//! model, as published and prepared, and led along those tokens: prompt in one piece, in small pieces, token by token. A token that differs, logits
//! that are too far off, or a stand-in that is not there, are failures. Then each is shown pictures of all budgets, sounds,
//! films and all of them at once: what its encoders make of them, and what it writes then, is held to the same.

mod golden;
mod seen;
mod stand_in;

use anyhow::{Context, bail};
use hob_model::Variant;
use hob_onnx::Runtime;
use seen::Seen;
use stand_in::{Agreement, StandIn};
use std::io::Write;
use std::path::Path;

const MODELS: [&str; 2] = ["e2b", "e4b"];

/// The forms, and the variants that each has.
const FORMS: [(&str, &[Variant]); 2] = [
    ("published", &[Variant::Fp32, Variant::Fp16, Variant::Quantized, Variant::Q4, Variant::Q4f16, Variant::Q2f16]),
    ("unfused", &[Variant::Fp32, Variant::Quantized, Variant::Q4, Variant::Q4f16]),
];

/// The published folders have no encoders of this variant.
const WITHOUT_ENCODERS: Variant = Variant::Q2f16;

/// How far a logit may be off: by the order of summing in single precision, by a rounding at each node in half precision.
fn allowed(variant: Variant) -> f32 {
    match variant {
        Variant::Fp32 | Variant::Quantized | Variant::Q4 => 1e-3,
        Variant::Fp16 | Variant::Q4f16 | Variant::Q2f16 => 0.03,
    }
}

/// How far a feature may be off: the front ends round a resized picture to bytes as Pillow does, but for 2 of 255 here and
/// there, and a log-mel value to 1e-4; a tower carries that on.
fn allowed_features(variant: Variant) -> f32 {
    match variant {
        Variant::Fp32 | Variant::Quantized | Variant::Q4 => 5e-3,
        Variant::Fp16 | Variant::Q4f16 | Variant::Q2f16 => 0.06,
    }
}

/// What is wrong so far.
#[derive(Default)]
struct Wrong {
    /// Tokens that are not those of PyTorch.
    different: usize,
    /// Stand-ins whose numbers are further off than their precision explains.
    off: Vec<String>,
}

/// How far a feature of a JPEG may be off: 3 of 255 in each value of the picture, through a tower. Tokens after one are
/// told and not judged: a near tie may fall otherwise.
const FEATURES_OF_A_JPEG: f32 = 0.15;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let Some(folder) = arguments.next() else { bail!("usage: parity FOLDER [text|media]") };
    let only = arguments.next();
    let wants = |part: &str| only.as_deref().is_none_or(|only| only == part);
    let folder = Path::new(&folder);
    if !folder.is_dir() {
        bail!("there are no stand-ins in {}: run make model-standins", folder.display());
    }
    let runtime = Runtime::find(None)?;
    let mut wrong = Wrong::default();
    if wants("text") {
        text(&runtime, folder, &mut wrong)?;
    }
    if wants("media") {
        media(&runtime, folder, &mut wrong)?;
    }
    if wrong.different > 0 {
        bail!("{} tokens are not those of PyTorch", wrong.different);
    }
    if !wrong.off.is_empty() {
        bail!("logits or features are further off than their precision explains: {}", wrong.off.join("; "));
    }
    Ok(())
}

/// Words alone, as published and prepared.
fn text(runtime: &Runtime, folder: &Path, wrong: &mut Wrong) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "| stand-in | form | variant | graph | prompts | tokens equal | largest difference of a logit |")?;
    writeln!(out, "|---|---|---|---|---|---|---|")?;
    for (model, form, variant) in stand_ins() {
        for prepared in [false, true] {
            let path = folder.join(model).join(form);
            let graph = if prepared { "prepared" } else { "as published" };
            let named = || format!("{model}, {form}, {variant}, {graph}");
            let agreement = StandIn::open(runtime, &path, variant, prepared)
                .and_then(|mut stand_in| stand_in.agreement(&mut std::io::stderr()))
                .with_context(named)?;
            let Agreement { prompts, tokens, equal, gap } = agreement;
            writeln!(out, "| {model} | {form} | {variant} | {graph} | {prompts} | {equal} of {tokens} | {gap:.1e} |")?;
            wrong.different += tokens - equal;
            if gap > allowed(variant) {
                wrong.off.push(named());
            }
        }
    }
    Ok(())
}

/// Pictures, sounds and films.
fn media(runtime: &Runtime, folder: &Path, wrong: &mut Wrong) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "\n| stand-in | form | variant | prompts with media | tokens equal | largest difference of a feature | of a logit | \
         after a JPEG: tokens equal | of a feature | of a logit |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|---|---|")?;
    for (model, form, variant) in stand_ins().filter(|(_, _, variant)| *variant != WITHOUT_ENCODERS) {
        let named = || format!("{model}, {form}, {variant}, media");
        let seen = seen::seen(runtime, &folder.join(model).join(form), variant, &mut std::io::stderr());
        let Seen { cases, exact, jpeg } = seen.with_context(named)?;
        writeln!(out, "| {model} | {form} | {variant} | {cases} | {exact} | {jpeg} |")?;
        wrong.different += exact.tokens - exact.equal;
        let off = exact.features > allowed_features(variant) || exact.logits > 5.0 * allowed(variant);
        if off || jpeg.features > FEATURES_OF_A_JPEG {
            wrong.off.push(named());
        }
    }
    Ok(())
}

/// Model, form and variant of each.
fn stand_ins() -> impl Iterator<Item = (&'static str, &'static str, Variant)> {
    let forms = |model| {
        FORMS.iter().flat_map(move |(form, variants)| variants.iter().map(move |variant| (model, *form, *variant)))
    };
    MODELS.into_iter().flat_map(forms)
}
