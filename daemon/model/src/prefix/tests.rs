use super::*;
use crate::toy::ToyDecoder;
use tempfile::TempDir;

const MODEL: [u8; 32] = [7; 32];

fn settings(folder: &TempDir) -> PrefixSettings {
    PrefixSettings { folder: folder.path().join("prefixes"), files: 2, bytes: 1 << 20 }
}

fn beginning(seed: u32, len: u32) -> Vec<u32> {
    (0..len).map(|place| seed * 1000 + place).collect()
}

/// Keeps what a fresh decoder holds after reading `tokens`.
fn keep(prefixes: &mut Prefixes, tokens: &[u32]) {
    let mut decoder = ToyDecoder::new(1, 9);
    decoder.take(Slot(0), tokens);
    prefixes.keep(&decoder, Slot(0), tokens);
}

/// What a fresh decoder holds of `prompt` after looking on disk.
fn restored(prefixes: &mut Prefixes, prompt: &[u32]) -> usize {
    let mut decoder = ToyDecoder::new(1, 9);
    let known = prefixes.restore(&mut decoder, Slot(0), prompt, 0, prompt.len() - 1).unwrap();
    assert_eq!(decoder.held(Slot(0)), &prompt[..known]);
    known
}

fn files(folder: &TempDir) -> Vec<PathBuf> {
    let listed = std::fs::read_dir(folder.path().join("prefixes")).unwrap();
    listed.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_beginning_outlives_the_process_and_serves_as_far_as_it_is_shared() {
    let folder = tempfile::tempdir().unwrap();
    let house = beginning(1, 300);
    keep(&mut Prefixes::open(settings(&folder), MODEL), &house);
    let mut prefixes = Prefixes::open(settings(&folder), MODEL);
    let whole = [&house[..], &[5, 6, 7]].concat();
    assert_eq!(restored(&mut prefixes, &whole), 300);
    let other_tools = [&house[..200], &beginning(2, 90)].concat();
    assert_eq!(restored(&mut prefixes, &other_tools), 200);
    assert_eq!(restored(&mut prefixes, &house), 299, "the last token is wanted for its logits");
    assert_eq!(restored(&mut prefixes, &beginning(3, 300)), 0);
}

#[test]
fn what_stands_behind_a_picture_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let house = beginning(1, 300);
    let seen = [&house[..], &[crate::soft::FIRST_SOFT, crate::soft::FIRST_SOFT + 1], &beginning(2, 90)].concat();
    keep(&mut Prefixes::open(settings(&folder), MODEL), &seen);
    assert_eq!(restored(&mut Prefixes::open(settings(&folder), MODEL), &seen), 300);
}

#[test]
fn a_file_that_spares_little_is_left_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut prefixes = Prefixes::open(settings(&folder), MODEL);
    let house = beginning(1, 300);
    keep(&mut prefixes, &house);
    let mut decoder = ToyDecoder::new(1, 9);
    decoder.take(Slot(0), &house[..280]);
    assert_eq!(prefixes.restore(&mut decoder, Slot(0), &house, 280, 299), Ok(280));
    assert_eq!(decoder.held(Slot(0)).len(), 280);
}

#[test]
fn another_model_finds_nothing_and_pushes_the_first_one_out_only_when_it_needs_the_room() {
    let folder = tempfile::tempdir().unwrap();
    let house = beginning(1, 100);
    keep(&mut Prefixes::open(settings(&folder), MODEL), &house);
    let mut other = Prefixes::open(settings(&folder), [8; 32]);
    assert_eq!(restored(&mut other, &house), 0);
    keep(&mut other, &house);
    assert_eq!(restored(&mut other, &house), 99);
    assert_eq!(restored(&mut Prefixes::open(settings(&folder), MODEL), &house), 99);
    keep(&mut other, &beginning(2, 100));
    assert_eq!(restored(&mut Prefixes::open(settings(&folder), MODEL), &house), 0);
}

#[test]
fn torn_files_cost_a_prefill_and_nothing_else() {
    let house = beginning(1, 100);
    for damage in [10, 60, 300, 499] {
        let folder = tempfile::tempdir().unwrap();
        let mut prefixes = Prefixes::open(settings(&folder), MODEL);
        keep(&mut prefixes, &house);
        let path = files(&folder).remove(0);
        let whole = std::fs::read(&path).unwrap();
        let mut spoilt = whole.clone();
        spoilt[damage] ^= 1;
        for content in [&spoilt[..], &whole[..damage], &[&whole[..], &[0]].concat()] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(restored(&mut prefixes, &house), 0, "damage at {damage}");
            assert!(!path.exists());
            std::fs::write(&path, content).unwrap();
            assert_eq!(restored(&mut Prefixes::open(settings(&folder), MODEL), &house), 0);
            keep(&mut prefixes, &house);
        }
    }
}

#[test]
fn the_least_recently_used_goes_first() {
    let folder = tempfile::tempdir().unwrap();
    let mut prefixes = Prefixes::open(settings(&folder), MODEL);
    let [one, two, three] = [1, 2, 3].map(|seed| beginning(seed, 64));
    keep(&mut prefixes, &one);
    keep(&mut prefixes, &two);
    assert_eq!(restored(&mut prefixes, &one), 63);
    keep(&mut prefixes, &three);
    assert_eq!([&one, &two, &three].map(|tokens| restored(&mut prefixes, tokens)), [63, 0, 63]);
    keep(&mut prefixes, &one[..40]);
    assert_eq!(files(&folder).len(), 2, "what a longer file holds is not kept again");
}

#[test]
fn without_room_nothing_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut small = Prefixes::open(PrefixSettings { bytes: 100, ..settings(&folder) }, MODEL);
    keep(&mut small, &beginning(1, 64));
    assert_eq!(files(&folder), Vec::<PathBuf>::new());
}
