use super::{RequantizedNote, WeightError, graph_sha256};
use crate::requantized::Comparison;
use hob_onnx::{Reasons, Requantized};
use insta::assert_snapshot;

fn note(measured: Option<Comparison>) -> RequantizedNote {
    let matrix = |name: &str, weights, relative_error| Requantized { name: name.to_owned(), weights, relative_error };
    let matrices = vec![matrix("up", 3 << 20, 0.05), matrix("down", 1 << 20, 0.09)];
    RequantizedNote {
        from: "gemma-4-e2b".to_owned(),
        graph_sha256: graph_sha256(b""),
        block: 128,
        hob: "0.1.0".to_owned(),
        products: 2,
        left: Reasons([("8 bits".to_owned(), 1)].into()),
        error: WeightError::over(&matrices),
        unmeasured: measured.is_none().then(|| "there is no library".to_owned()),
        measured,
        matrices,
    }
}

#[test]
fn what_it_cost_is_told_in_a_few_lines() {
    let measured = Comparison {
        prompt_tokens: 30,
        steps: 48,
        equal_tokens: 45,
        largest_difference: 1.25,
        usual_difference: 0.2,
        spread: 3.0,
    };
    assert_snapshot!(note(Some(measured)).lines().join("\n"), @"
    blocks of 128 from gemma-4-e2b: 2 products
    left as they were: 1 with 8 bits
    weights off by 6.00 % in the mean, 9.00 % at most (down)
    45 of 48 tokens are the same beside the original; logits differ by 0.200 (root of the mean square), 1.250 at most, and spread by 3.000
    ");
    assert_snapshot!(note(None).lines().join("\n"), @"
    blocks of 128 from gemma-4-e2b: 2 products
    left as they were: 1 with 8 bits
    weights off by 6.00 % in the mean, 9.00 % at most (down)
    not run beside the original: there is no library
    ");
}

#[test]
fn a_note_is_read_as_it_was_written_and_a_broken_one_is_said_to_be() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(RequantizedNote::read(folder.path()).unwrap(), None);
    note(None).write(folder.path()).unwrap();
    assert_eq!(RequantizedNote::read(folder.path()).unwrap(), Some(note(None)));
    std::fs::write(folder.path().join("requantized.json"), "{").unwrap();
    let said = RequantizedNote::read(folder.path()).unwrap_err().to_string();
    assert!(said.contains("requantized.json is broken"), "{said}");
}
