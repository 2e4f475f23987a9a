use super::*;
use std::time::SystemTime;

#[test]
fn the_time_the_size_or_any_looked_at_piece_of_a_file_makes_another_stamp() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights");
    let noon = UNIX_EPOCH + Duration::from_secs(43_200);
    let written = |bytes: &[u8], time: SystemTime| {
        std::fs::write(&path, bytes).unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        stamp(&path).unwrap()
    };
    let whole = usize::try_from(SAMPLES * SAMPLE_BYTES).unwrap();
    // An empty file, some bytes, just what is looked at whole, a little and a lot more.
    for size in [0, 100, whole, whole + 1, whole * 3 + 77] {
        let bytes = vec![7; size];
        let first = written(&bytes, noon);
        assert_eq!(first, written(&bytes, noon), "{size}");
        assert_ne!(first, written(&bytes, noon + Duration::from_nanos(1)), "{size}: the time");
        assert_ne!(first, written(&[&bytes[..], &[7]].concat(), noon), "{size}: the length");
        let ends = [0, size.saturating_sub(1)];
        let middles = if size <= whole { vec![size / 2, size / 3] } else { Vec::new() };
        for place in ends.into_iter().chain(middles).filter(|place| *place < size) {
            let mut other = bytes.clone();
            other[place] = 8;
            assert_ne!(first, written(&other, noon), "{size}: the byte at {place}");
        }
    }
}

#[test]
fn weights_that_changed_everywhere_are_others_though_their_size_and_time_are_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let stamped = |name: &str, seed: u8| {
        let path = folder.path().join(name);
        let bytes: Vec<u8> = (0..5_000_000_u32).map(|index| index.to_le_bytes()[1].wrapping_mul(seed)).collect();
        std::fs::write(&path, bytes).unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(UNIX_EPOCH).unwrap();
        stamp(&path).unwrap()
    };
    assert_eq!(stamped("one", 3), stamped("the same", 3));
    assert_ne!(stamped("one", 3), stamped("other", 5));
}

#[test]
fn every_fact_counts_and_none_runs_into_the_next() {
    let digest = |facts: &[(&str, &str)]| {
        let mut identity = Identity::of_nothing();
        facts.iter().for_each(|(name, value)| identity.fact(name, value));
        identity.digest()
    };
    let one = digest(&[("hob", "1"), ("chunk", "256")]);
    assert_eq!(one, digest(&[("hob", "1"), ("chunk", "256")]));
    let others: [&[(&str, &str)]; 4] =
        [&[("hob", "2"), ("chunk", "256")], &[("hob", "1c"), ("hunk", "256")], &[("hob", "1")], &[]];
    assert!(others.iter().all(|other| digest(other) != one));
}

#[test]
fn another_provider_plugin_or_division_makes_another_model() {
    let runtime = Runtime::find(None).unwrap();
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/tiny"));
    let folder = ModelFolder::open(path, None).unwrap();
    let digest = |settings: &ModelSettings, shares: &[Share]| {
        Identity::of(&folder, settings, &runtime, shares, Kernels::Hob).unwrap().digest()
    };
    let usual = ModelSettings::new(path);
    let cpu = digest(&usual, &[]);
    assert_eq!(cpu, digest(&usual, &[]));

    let mut asked = usual;
    asked.session.providers.order.insert(0, "qnn".parse().unwrap());
    let qnn = digest(&asked, &[]);
    assert_ne!(qnn, cpu);
    let mut allowed = asked.clone();
    allowed.session.providers.fallback = true;
    assert_ne!(digest(&allowed, &[]), qnn);
    // What really runs it, too: a device may be away today.
    let share = Share { provider: "qnn".to_owned(), operators: [("MatMul".to_owned(), 1)].into() };
    assert_ne!(digest(&asked, &[share]), qnn);

    let plugins = tempfile::tempdir().unwrap();
    let plugin = plugins.path().join("plugin.so");
    let mut with_plugin = asked;
    with_plugin.session.providers.plugins.insert(hob_onnx::Provider::Qnn, plugin.clone());
    std::fs::write(&plugin, "one").unwrap();
    let one = digest(&with_plugin, &[]);
    std::fs::write(&plugin, "another").unwrap();
    assert!(one != qnn && digest(&with_plugin, &[]) != one);
}

#[test]
fn weights_that_lie_deeper_than_the_graphs_count_too() {
    let fixture = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/published"));
    let copy = tempfile::tempdir().unwrap();
    let onnx = copy.path().join("onnx");
    std::fs::create_dir_all(onnx.join("d")).unwrap();
    for (from, to) in [(fixture.to_owned(), copy.path()), (fixture.join("onnx"), &onnx)] {
        for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
    // A name of the same length in a folder of its own.
    let (name, deeper) = ("decoder_model_merged_q4.onnx_data", "d/coder_model_merged_q4.onnx_data");
    let graph = onnx.join("decoder_model_merged_q4.onnx");
    let mut content = std::fs::read(&graph).unwrap();
    let places: Vec<usize> = content
        .windows(name.len())
        .enumerate()
        .filter(|(_, part)| *part == name.as_bytes())
        .map(|(at, _)| at)
        .collect();
    for place in places {
        content[place..place + name.len()].copy_from_slice(deeper.as_bytes());
    }
    std::fs::write(&graph, content).unwrap();
    std::fs::rename(onnx.join(name), onnx.join(deeper)).unwrap();

    let runtime = Runtime::find(None).unwrap();
    let digest = || {
        let folder = ModelFolder::open(copy.path(), Some(crate::folder::Variant::Q4)).unwrap();
        Identity::of(&folder, &ModelSettings::new(copy.path()), &runtime, &[], Kernels::Hob).unwrap().digest()
    };
    let before = digest();
    assert_eq!(digest(), before);
    File::options().write(true).open(onnx.join(deeper)).unwrap().set_modified(UNIX_EPOCH).unwrap();
    assert_ne!(digest(), before);
}
