//! Whatever a server does: what is in place is what the manifest says, and an honest server mends the rest.

use crate::bench::{DATA, FILES, bench};
use crate::server::{Lie, Server, answer, redirect};
use proptest::prelude::*;
use std::time::Duration;

fn lie() -> impl Strategy<Value = Option<Lie>> {
    let bytes = || prop_oneof![Just(DATA.to_vec()), Just(vec![8; 1000]), prop::collection::vec(any::<u8>(), 0..1500)];
    prop_oneof![
        Just(None),
        (0..1000_usize).prop_map(|after| Some(Lie::Drop { after })),
        (0..1000_usize).prop_map(|after| Some(Lie::Stall { after })),
        bytes().prop_map(|bytes| Some(Lie::Other(bytes))),
        (0..2000_u64).prop_map(|length| Some(Lie::Length(length))),
        bytes().prop_map(|bytes| Some(Lie::Unmeasured(bytes))),
        bytes().prop_map(|bytes| Some(Lie::Endless(bytes))),
        Just(Some(Lie::IgnoreRange)),
        bytes().prop_map(|bytes| Some(Lie::OtherState { bytes, etag: "\"two\"" })),
        bytes().prop_map(|bytes| Some(Lie::OtherState { bytes, etag: "\"one\"" })),
        prop_oneof![Just(204), Just(206), Just(304), Just(401), Just(404), Just(416), Just(429), Just(500)]
            .prop_map(|status| Some(answer(status))),
        prop_oneof![Just("/"), Just("http://"), Just("x"), Just("//"), Just("")].prop_map(|to| Some(redirect(to))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn what_is_in_place_is_what_the_manifest_says(lies in prop::collection::vec(lie(), 1..8)) {
        let mut bench = bench();
        bench.network.stall = Duration::from_millis(30);
        let server = Server::start(FILES, move |asked| match asked.path.ends_with("g.onnx_data") {
            true => lies.get(asked.before).cloned().flatten(),
            false => None,
        });
        let first = bench.fetch(&server);
        prop_assert_eq!(first.is_ok(), bench.store().folder().join("little").exists());
        bench.network.stall = Duration::from_secs(10);
        bench.fetch(&Server::honest(FILES)).unwrap();
        for (path, bytes) in FILES {
            prop_assert_eq!(&bench.placed(path), bytes);
        }
    }
}
