//! What cameras see becomes events, for the rules.

use crate::cameras::{Frame, Seen, View};
use crate::clock::now;
use crate::driver::{Driver, DriverError};
use crate::shelf::{ShelfJob, TakeMediaError};
use hob_agent::Input;
use hob_doors::Reply;
use hob_events::{Event, EventKind, Medium, SenseName};
use hob_mqtt::{Class, Outgoing};
use serde_json::Value;

impl Driver {
    /// A camera tells something.
    pub(crate) fn saw(&mut self, seen: Seen) -> Result<(), DriverError> {
        match seen {
            Seen::Is(name, view) => self.tell_view(&name, &view),
            Seen::Moved(name) => {
                if let Some(frame) = self.stages.cameras.take(&name)
                    && self.stages.shelf.submit(ShelfJob::See { camera: name.clone(), frame }).is_err()
                {
                    tracing::warn!(camera = %name, "the disk does not keep up: a frame is dropped");
                }
            }
        }
        Ok(())
    }

    /// A frame lies on the shelf, or does not: the rules look at it.
    pub(crate) fn shown(
        &mut self,
        camera: SenseName,
        frame: &Frame,
        kept: Result<Medium, TakeMediaError>,
    ) -> Result<(), DriverError> {
        match kept {
            Ok(medium) => {
                let kind = EventKind::Frame { camera, medium, motion: frame.motion };
                self.tell_agent(Input::Happened(Event { at: now(), kind }))
            }
            Err(error) => {
                tracing::warn!(%camera, %error, "a frame is dropped");
                Ok(())
            }
        }
    }

    /// How every camera is.
    pub(crate) fn cameras(&self) -> Reply {
        let shown = self.stages.cameras.all().map(|(settings, view)| {
            let mut value = of(&view);
            value["name"] = settings.name.as_str().into();
            value["source"] = hob_senses::camera::mask(&settings.source).into();
            value
        });
        Reply::Data { value: shown.collect() }
    }

    /// Tells how all of them are: the broker was away, and may have forgotten.
    pub(crate) fn tell_views(&self) {
        self.stages.cameras.all().for_each(|(settings, view)| self.tell_view(&settings.name, &view));
    }

    fn tell_view(&self, name: &SenseName, view: &View) {
        let Some(mqtt) = &self.stages.mqtt else { return };
        let message = Outgoing {
            topic: self.stages.topics.camera_state(name),
            payload: of(view).to_string().into(),
            retain: true,
            correlation: None,
            content_type: Some("application/json"),
        };
        if let Err(error) = mqtt.tell(message, Class::Status) {
            tracing::debug!(%error, "not told now");
        }
    }
}

fn of(view: &View) -> Value {
    serde_json::to_value(view).unwrap_or_default()
}
