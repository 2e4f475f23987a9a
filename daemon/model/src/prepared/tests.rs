use super::{Activations, file, was_tried};
use std::fs::File;
use std::time::{Duration, SystemTime};

#[test]
fn activations_are_called_as_in_the_settings() {
    for name in ["int8", "published"] {
        assert_eq!(name.parse::<Activations>().unwrap().to_string(), name);
        let read: Activations = serde_json::from_value(name.into()).unwrap();
        assert_eq!(read.to_string(), name);
    }
    assert_eq!(
        "int4".parse::<Activations>().unwrap_err().to_string(),
        "there are no activations 'int4': use int8 or published"
    );
}

#[test]
fn what_was_never_finished_is_removed_once_nobody_can_be_writing_it() {
    let folder = tempfile::tempdir().unwrap();
    let old = SystemTime::now() - Duration::from_secs(2 * 3600);
    for (name, changed) in [("a.7.new", old), ("b.8.new", SystemTime::now()), ("c.graph", old), ("d", old)] {
        File::create(folder.path().join(name)).unwrap().set_modified(changed).unwrap();
    }
    file::make_room(folder.path());
    let mut left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["b.8.new", "c.graph", "d"]);
}

#[test]
fn only_libraries_that_were_tried_run_rewritten_graphs() {
    for (version, tried) in [("1.32.0", true), ("1.33.1-dev", true), ("2.0.0", true), ("1.31.2", false), ("", false)] {
        assert_eq!(was_tried(version), tried, "{version}");
    }
}
