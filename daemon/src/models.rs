//! Which model runs, and how another one is found, judged and opened.

use crate::settings::Settings;
use crate::stage_settings::model_settings;
use crate::start::StartError;
use hob_model::{
    Description, Gemma, LanguageModel, ModelFolder, ModelSettings, OpenModelError, Opener, Plan, Planner, Room, Spoken,
    UnknownVariant, describe,
};
use hob_onnx::{Runtime, usable_memory};
use std::error::Error;
use std::path::{Path, PathBuf};

/// The model that runs, and what it takes to open one.
#[derive(Debug, Clone)]
pub struct Models {
    runtime: Runtime,
    present: ModelSettings,
}

impl Models {
    /// Opens the library, and takes the model that the settings name for the present one.
    ///
    /// # Errors
    /// [`StartError`] without a library, or with a variant that there is not.
    pub fn find(settings: &Settings) -> Result<Self, StartError> {
        let runtime = Runtime::find(settings.onnx.library.as_deref())?;
        Ok(Self { runtime, present: model_settings(settings)? })
    }

    /// Looks at the present model.
    ///
    /// # Errors
    /// [`OpenModelError`], naming the file.
    pub fn describe(&self) -> Result<Description, OpenModelError> {
        describe(&ModelFolder::open(&self.present.folder, self.present.variant)?)
    }

    /// Opens the present model. It takes seconds, with a large one more.
    ///
    /// # Errors
    /// [`OpenModelError`], naming the file.
    pub fn open(&self) -> Result<Gemma, OpenModelError> {
        Gemma::open(&self.runtime, &self.present)
    }

    /// Opens the present model as often as it is needed. How it went the first time is told to `first`.
    pub fn opener(&self, first: impl FnOnce(Result<(), OpenModelError>) + Send + 'static) -> Opener {
        let mut models = self.clone();
        let mut first = Some(first);
        Box::new(move || {
            let opened = models.open();
            models.present.running = true;
            let (model, result): (Result<Box<dyn LanguageModel>, String>, _) = match opened {
                Ok(model) => (Ok(Box::new(model)), Ok(())),
                Err(error) => (Err(in_full(&error)), Err(error)),
            };
            if let Some(first) = first.take() {
                first(result);
            }
            model
        })
    }

    /// The same with another model as the present one.
    ///
    /// # Errors
    /// [`UnknownVariant`] for a variant that there is not.
    pub fn with(&self, folder: PathBuf, variant: Option<&str>) -> Result<Self, UnknownVariant> {
        let variant = variant.map(str::parse).transpose()?;
        let present = ModelSettings { folder, variant, running: true, ..self.present.clone() };
        Ok(Self { runtime: self.runtime.clone(), present })
    }

    /// The library.
    #[must_use]
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// What was said lately, where the present model looks for it.
    #[must_use]
    pub fn spoken(&self) -> Spoken {
        self.present.media.as_ref().map(|media| media.spoken.clone()).unwrap_or_default()
    }

    /// The folder of the present model.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.present.folder
    }

    /// How `next` is to follow this one.
    pub fn planner(&self, next: &Self) -> Planner {
        let (present, next) = (self.present.clone(), next.clone());
        Box::new(move |open| next.plan(open.then_some(&present)).map_err(|error| in_full(&error)))
    }

    fn plan(&self, present: Option<&ModelSettings>) -> Result<Plan, OpenModelError> {
        // As they are opened: prepared, what a decoder takes is another thing.
        let prepared = |settings: &ModelSettings| {
            let mut folder = ModelFolder::open(&settings.folder, settings.variant)?;
            settings.prepare(&self.runtime, &mut folder);
            Ok::<_, OpenModelError>(folder)
        };
        let folder = prepared(&self.present)?;
        let about = describe(&folder)?;
        let (needs, extent) = (self.present.needs(&self.runtime, &folder)?, self.present.extent(&folder));
        let held = present.and_then(|present| present.held(&self.runtime, &prepared(present).ok()?).ok());
        let room = match (usable_memory(), held) {
            (Some(free), Some(held)) => match needs.find_room(extent, free, held) {
                Ok(room) => room,
                Err(error) if self.present.check_memory => return Err(error),
                // Nobody wants to be told; then the old one had better go first.
                Err(_) => Room::InPlace,
            },
            // What the old one takes, or what there is, cannot be told.
            (Some(_) | None, None) | (None, Some(_)) => Room::InPlace,
        };
        tracing::info!(model = about.name, variant = about.variant, ?room, "the model is changed");
        Ok(Plan { about, room, open: self.opener(|_| {}) })
    }
}

/// An error with its causes, for one line.
fn in_full(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
