//! Providers: those that are not there, and OpenVINO where its plugin is (`make provider-openvino`).

use crate::{graph, runtime};
use hob_onnx::{
    DeviceKind, Found, OpenSessionError, Provider, Providers, Session, SessionSettings, Standing, TrialError, Wanted,
    try_provider,
};
use std::collections::BTreeMap;
use std::path::Path;

fn asking(order: &[&str], fallback: bool) -> SessionSettings {
    let order = order.iter().map(|wanted| wanted.parse().expect("a provider")).collect();
    SessionSettings { providers: Providers { order, fallback, ..Providers::default() }, ..SessionSettings::default() }
}

/// OpenVINO as far as this machine has it: without it, or without a device of Intel's, only that can be shown.
fn openvino() -> Standing {
    let all = runtime().providers(&BTreeMap::new());
    all.into_iter().find(|standing| standing.provider == Provider::OpenVino).expect("hob knows it")
}

#[test]
fn the_processor_runs_what_it_is_tried_with() {
    let trial = try_provider(&runtime(), Wanted::any(Provider::Cpu), &SessionSettings::default()).unwrap();
    let ran = trial.ran.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    assert!(ran.starts_with("cpu ") && ran.contains("MatMulNBits"), "{ran}");
    assert_eq!(trial.difference.greatest, 0.0);
    assert!(trial.difference.of > 0.01);
}

#[test]
fn a_provider_that_is_not_there_says_where_to_get_it() {
    let refused = try_provider(&runtime(), Wanted::any(Provider::Qnn), &SessionSettings::default()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the provider 'qnn' cannot be used: this ONNX Runtime does not have it, and no plugin was found: on aarch64 take \
         the plugin out of the Python package onnxruntime-qnn, with the libraries beside it, and name it with \
         `[onnx.plugins] qnn`"
    );
    let decoder = graph("decoder_model_merged_q4.onnx");
    let asked = Session::open(&runtime(), &decoder, &asking(&["qnn", "cpu"], false));
    assert!(matches!(asked, Err(OpenSessionError::Provider { .. })));
    // Allowed to, hob goes on, and all of it is the processor's.
    let session = Session::open(&runtime(), &decoder, &asking(&["qnn", "cpu"], true)).unwrap();
    let took: Vec<&str> = session.shares().iter().map(|share| share.provider.as_str()).collect();
    assert_eq!(took, ["cpu"]);
    assert_eq!(session.attached().len(), 1);
}

#[test]
fn a_plugin_that_is_none_is_named_and_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("plugin.so");
    std::fs::write(&text, "a page that says the download moved").unwrap();
    let with = |path: &Path| {
        let mut settings = asking(&["webgpu", "cpu"], false);
        settings.providers.plugins.insert(Provider::WebGpu, path.to_owned());
        settings
    };
    let wanted = Wanted::any(Provider::WebGpu);
    let refused = try_provider(&runtime(), wanted, &with(&text)).unwrap_err().to_string();
    assert!(refused.contains("plugin.so is no plugin that this ONNX Runtime can load"), "{refused}");
    let nothing = folder.path().join("nothing.so");
    let refused = try_provider(&runtime(), wanted, &with(&nothing)).unwrap_err().to_string();
    assert!(refused.contains("cannot read the plugin") && refused.contains("onnxruntime-ep-webgpu"), "{refused}");

    let standings = runtime().providers(&with(&text).providers.plugins);
    let webgpu = standings.iter().find(|standing| standing.provider == Provider::WebGpu).unwrap();
    assert!(matches!(webgpu.found, Found::Broken { .. }));
    assert_eq!(standings[0].found, Found::BuiltIn);
    assert_eq!(standings[0].devices, [DeviceKind::Cpu]);
}

#[test]
fn openvino_runs_what_it_takes_and_agrees_with_the_processor() {
    let tried = try_provider(&runtime(), Wanted::any(Provider::OpenVino), &SessionSettings::default());
    let Standing { found, devices, .. } = openvino();
    match found {
        Found::Absent => assert!(tried.unwrap_err().to_string().contains("make provider-openvino")),
        Found::Plugin { .. } if devices.is_empty() => {
            let refused = tried.unwrap_err().to_string();
            assert!(refused.contains("finds no device on this board, nor anything else to run on"), "{refused}");
        }
        Found::BuiltIn | Found::Plugin { .. } => {
            let trial = tried.unwrap();
            assert_eq!(trial.on.provider, Provider::OpenVino);
            assert!(trial.ran.iter().any(|share| share.provider == "openvino"), "{:?}", trial.ran);
            let took = trial.took.iter().find(|share| share.provider == "openvino").unwrap();
            assert!(took.nodes() > 1, "{took}");
            assert!(trial.difference.is_rounding());
        }
        Found::Broken { reason, .. } => panic!("{reason}"),
    }
}

#[test]
fn a_device_that_openvino_does_not_find_is_an_error() {
    let tried = try_provider(&runtime(), "openvino:npu".parse().unwrap(), &SessionSettings::default());
    let Standing { found, devices, .. } = openvino();
    if !devices.contains(&DeviceKind::Npu) {
        let refused = tried.unwrap_err();
        assert!(matches!(refused, TrialError::Open(_)), "{refused}");
        assert!(!matches!(found, Found::Plugin { .. }) || refused.to_string().contains("finds no npu"), "{refused}");
    }
}
