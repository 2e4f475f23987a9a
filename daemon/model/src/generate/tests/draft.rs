//! Drafts change how many steps an answer takes, and nothing else of it.

use super::*;
use proptest::prelude::*;

/// Writes words that follow from the last two by a table, so that it soon says again what it said before, and ends after
/// `length` of them.
fn rambles(table: Vec<usize>, length: usize) -> ToyDecoder {
    let vocabulary = vocabulary();
    let words: Vec<u32> = ["a", "b", "c", "d"].iter().map(|word| vocabulary.ids(word)[0]).collect();
    let end = vocabulary.id("<turn|>").unwrap();
    let beginning = vocabulary.ids("<|turn>model\n");
    ToyDecoder::new(2, vocabulary.len()).wishing(move |tokens| {
        let place = tokens.windows(beginning.len()).rposition(|window| window == beginning).unwrap_or(0);
        if tokens.len() - place - beginning.len() >= length {
            return end;
        }
        let number = |id: &u32| words.iter().position(|word| word == id).unwrap_or(0);
        let last = tokens.last().map_or(0, number);
        let before = tokens.get(tokens.len().wrapping_sub(2)).map_or(0, number);
        words[table[last * 4 + before] % 4]
    })
}

/// What is written to the same order twice in a row, with drafts and without.
fn both(table: &[usize], length: usize, orders: &[GenerateOrder]) -> [Vec<Generated>; 2] {
    [Drafting::eager(), Drafting::new(false)].map(|drafting| {
        let mut model = model(rambles(table.to_vec(), length));
        model.drafting = drafting;
        orders.iter().map(|order| generate(&mut model, order).unwrap()).collect()
    })
}

fn said(max_tokens: u32, words: &str) -> GenerateOrder {
    GenerateOrder { max_tokens, ..order(words) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn an_answer_is_the_same_with_drafts_and_without(
        table in proptest::collection::vec(0_usize..4, 16),
        length in 1_usize..48,
        max_tokens in 1_u32..48,
    ) {
        let orders = [said(max_tokens, "a b c d a b"), said(64, "d c b a"), said(max_tokens, "a b c d a b")];
        let [drafted, plain] = both(&table, length, &orders);
        for (drafted, plain) in drafted.iter().zip(&plain) {
            prop_assert_eq!(&drafted.tokens, &plain.tokens);
            prop_assert_eq!((&drafted.writing, drafted.stop), (&plain.writing, plain.stop));
            prop_assert_eq!(plain.timings.drafted_tokens, 0);
        }
    }
}

#[test]
fn an_answer_that_repeats_itself_takes_fewer_steps() {
    // a b c d, and again.
    let table: Vec<usize> = (0..16).map(|place| place / 4 + 1).collect();
    let [drafted, plain] = both(&table, 40, &[said(64, "go on")]);
    assert_eq!(drafted[0].tokens, plain[0].tokens);
    let drafts = drafted[0].timings.drafted_tokens;
    assert!((20..40).contains(&drafts), "{drafts}");
}

#[test]
fn a_call_is_not_drafted_and_as_sure_as_without() {
    let words = format!("say a b c d a b c d.{LAMP}");
    let [drafted, plain] = [Drafting::eager(), Drafting::new(false)].map(|drafting| {
        let mut model = model(writes(&words));
        model.drafting = drafting;
        generate(&mut model, &order("a b c d a b c d")).unwrap()
    });
    assert_eq!((drafted.tokens, drafted.writing), (plain.tokens, plain.writing));
}
