//! The published graph form, on the miniature of Gemma 4 E2B that lies in the repository: `GroupQueryAttention`, rotary
//! tables, quantized products and tables. `make test-parity` holds larger ones, and the other variants.

use crate::golden::{Case, exact, greedy, read};
use crate::{fixture, runtime};
use hob_model::{Decoder, Gemma, ModelFolder, ModelSettings, Needs, OrtDecoder, Prepared, Slot, Variant};
use hob_onnx::{Element, Pass, SessionSettings};
use std::collections::BTreeSet;

const CONTEXT: usize = 256;

/// A variant, its caches, and what it should write. Half precision is off by this in some logit.
const VARIANTS: [(Variant, Element, &str, f32); 2] =
    [(Variant::Q4, Element::F32, "golden_q4.json", 1e-3), (Variant::Q4f16, Element::F16, "golden_q4f16.json", 0.03)];

pub(crate) fn folder(variant: Variant) -> ModelFolder {
    ModelFolder::open(&fixture("published"), Some(variant)).unwrap()
}

/// The same with its decoder rewritten.
pub(crate) fn prepared(variant: Variant, passes: &BTreeSet<Pass>) -> ModelFolder {
    let folder = folder(variant);
    ModelFolder { prepared: Some(Prepared::make(&folder.decoder, passes).unwrap()), ..folder }
}

#[test]
fn the_published_form_writes_what_transformers_writes_with_the_same_rounded_weights() {
    for (variant, _, golden, near) in VARIANTS {
        let cases = read(&fixture("published").join(golden));
        assert!(cases.len() >= 8, "{} prompts", cases.len());
        for folder in [folder(variant), prepared(variant, &exact())] {
            let mut decoder = OrtDecoder::open(&runtime(), &folder, &SessionSettings::default(), 1, CONTEXT).unwrap();
            assert_eq!(decoder.runs_prepared(), folder.prepared.is_some());
            for Case { prompt, tokens, first } in &cases {
                for chunk in [CONTEXT, 7, 1] {
                    let (written, row) = greedy(&mut decoder, Slot(0), prompt, chunk, tokens.len());
                    assert_eq!(written, *tokens, "{variant}, in pieces of {chunk}");
                    for (id, logit) in first {
                        assert!((row[*id] - logit).abs() < near, "{variant}, token {id}: {} and {logit}", row[*id]);
                    }
                }
            }
        }
    }
}

#[test]
fn a_published_folder_is_recognised_without_being_loaded() {
    for (variant, element, ..) in VARIANTS {
        let needs = Needs::read(&folder(variant)).unwrap();
        assert!(needs.tables_on_disk());
        let layout = needs.layout();
        assert!(layout.positions && layout.keep);
        let rows: Vec<&str> = layout.rows.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(rows, ["inputs_embeds", "per_layer_inputs"]);
        // Four sliding layers and a full one own a key and a value each; the five above them own none.
        let widths: Vec<usize> = layout.caches.iter().map(|cache| cache.width).collect();
        assert_eq!(widths, [8, 8, 8, 8, 8, 8, 8, 8, 16, 16]);
        assert!(layout.caches.iter().all(|cache| cache.element == element && cache.heads == 1));
    }
}

#[test]
fn a_published_folder_opens_whole() {
    for (variant, ..) in VARIANTS {
        let settings = ModelSettings { variant: Some(variant), ..ModelSettings::new(fixture("published")) };
        Gemma::open(&runtime(), &settings).unwrap();
    }
}
