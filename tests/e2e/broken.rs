//! What is broken on the board is named in words, ends with the exit code that says so, and loses nothing.

use e2e::{House, Places, World};
use std::fs;
use std::path::Path;

/// A model folder of our own to break: the tiny one, copied.
fn copied_model(to: &Path) -> anyhow::Result<()> {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/tiny");
    fs::create_dir_all(to.join("onnx"))?;
    for folder in ["", "onnx"] {
        for entry in fs::read_dir(from.join(folder))? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                fs::copy(entry.path(), to.join(folder).join(entry.file_name()))?;
            }
        }
    }
    Ok(())
}

/// Runs `hob check` with a model that `damage` was done to; what it says and how it ends.
async fn check_with(damage: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<(Option<i32>, String)> {
    with_damage(damage, &["check"]).await
}

/// Runs a command line in the same way.
async fn with_damage(
    damage: impl FnOnce(&Path) -> anyhow::Result<()>,
    arguments: &[&str],
) -> anyhow::Result<(Option<i32>, String)> {
    let folder = tempfile::tempdir()?;
    let model = folder.path().join("model");
    copied_model(&model)?;
    damage(&model)?;
    let world = World::before_hob(&House::example()?, Places::tiny()?).await?;
    let hob = world.hob.with("model.folder", &model.to_string_lossy());
    let output = hob.cli(arguments)?;
    Ok((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
}

#[tokio::test]
async fn a_model_that_cannot_be_used_is_refused_with_the_reason() -> anyhow::Result<()> {
    let (code, said) = check_with(|_| Ok(())).await?;
    assert_eq!(code, Some(0), "{said}");

    let (code, said) = check_with(|model| Ok(fs::remove_file(model.join("tokenizer.json"))?)).await?;
    assert!(code == Some(78) && said.contains("tokenizer.json"), "{said}");

    let (code, said) = check_with(|model| Ok(fs::write(model.join("config.json"), "{")?)).await?;
    assert!(code == Some(78) && said.contains("config.json"), "{said}");

    let cut = |model: &Path| -> anyhow::Result<()> {
        for entry in fs::read_dir(model.join("onnx"))? {
            let path = entry?.path();
            if path.to_string_lossy().contains("decoder") {
                let bytes = fs::read(&path)?;
                fs::write(&path, &bytes[..bytes.len() / 3])?;
            }
        }
        Ok(())
    };
    let (code, said) = check_with(cut).await?;
    assert!(code == Some(78) && said.contains("decoder"), "{said}");

    // The two graphs changed places: other inputs than a decoder's.
    let swapped = |model: &Path| -> anyhow::Result<()> {
        for entry in fs::read_dir(model.join("onnx"))? {
            let path = entry?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if name.starts_with("decoder_model_merged") && name.ends_with(".onnx") {
                fs::copy(model.join("onnx").join(name.replace("decoder_model_merged", "embed_tokens")), &path)?;
            }
        }
        Ok(())
    };
    let (code, said) = check_with(swapped).await?;
    assert!(code == Some(78) && said.contains("expected"), "{said}");
    Ok(())
}

/// What shows only when the model is opened, which a running hob does in the background.
#[tokio::test]
async fn a_model_that_cannot_be_opened_ends_every_command_that_needs_it() -> anyhow::Result<()> {
    for arguments in [&["check"][..], &["run"], &["ask", "turn on the lamp"]] {
        let spoilt = |model: &Path| Ok(fs::write(model.join("tokenizer.json"), "{}")?);
        let (code, said) = with_damage(spoilt, arguments).await?;
        assert!(code == Some(78) && said.contains("the tokenizer"), "{arguments:?}: {code:?} {said}");
    }
    Ok(())
}

#[tokio::test]
async fn a_library_that_is_none_is_refused_with_the_fix() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let library = folder.path().join("libonnxruntime.so");
    fs::write(&library, "no library")?;
    let world = World::before_hob(&House::example()?, Places::tiny()?).await?;
    let hob = world.hob.with("onnx.library", &library.to_string_lossy());
    let output = hob.cli(&["check"])?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(78) && said.contains("[onnx] library"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_question_at_the_command_line_is_answered_by_its_flags() -> anyhow::Result<()> {
    let world = World::example().await?;
    let tools = world.hob.cli(&["tools"])?;
    assert!(String::from_utf8_lossy(&tools.stdout).contains("unlock"), "asked over the socket");
    let status = world.hob.cli(&["status", "--json"])?;
    let status: serde_json::Value = serde_json::from_slice(&status.stdout)?;
    assert_eq!(status["broker"], "connected");
    let verified = world.hob.cli(&["audit", "verify"])?;
    assert!(String::from_utf8_lossy(&verified.stdout).contains("is whole"));
    let wrong = world.hob.cli(&["aks"])?;
    assert_eq!(wrong.status.code(), Some(64));
    Ok(())
}
