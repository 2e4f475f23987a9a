//! A model folder's `chat_template.jinja`, rendered by minijinja as its authors' Python renders it.

use minijinja::{Environment, ErrorKind, Value as JinjaValue, context};
use serde_json::Value;

/// Why a prompt could not be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderFailure {
    /// The template stopped.
    #[error("the model folder's chat_template.jinja failed at line {line}: {message}")]
    Template {
        /// Where, counted from one; zero when unknown.
        line: usize,
        /// What it said.
        message: String,
    },
    /// The tokenizer has no tokens for pictures and sounds.
    #[error("the tokenizer of this model has no tokens for this kind of media: take a model that sees and hears")]
    NoMedia,
    /// The template leaves out what hob must put in.
    #[error(
        "the model folder's chat_template.jinja shows no {0}: it is no template of Gemma 4, take the published one"
    )]
    Missing(&'static str),
}

impl From<minijinja::Error> for RenderFailure {
    fn from(error: minijinja::Error) -> Self {
        let message = match error.detail() {
            Some(detail) => detail.to_owned(),
            None => error.kind().to_string(),
        };
        Self::Template { line: error.line().unwrap_or(0), message }
    }
}

/// A parsed template and the text that begins every prompt.
#[derive(Debug)]
pub(super) struct Template {
    environment: Environment<'static>,
    bos: String,
}

const NAME: &str = "chat_template.jinja";

impl Template {
    pub(super) fn parse(source: String, bos: String) -> Result<Self, RenderFailure> {
        let mut environment = Environment::new();
        // As transformers sets Jinja up: what a template does to blanks depends on it.
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |message: String| -> Result<JinjaValue, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
        });
        environment.add_template_owned(NAME, source)?;
        Ok(Self { environment, bos })
    }

    /// Renders messages in the shape of the OpenAI interface, with `<|turn>model` at the end.
    pub(super) fn render(&self, messages: &[Value], tools: &[Value], thinking: bool) -> Result<String, RenderFailure> {
        let template = self.environment.get_template(NAME)?;
        let text = template.render(context! {
            messages => JinjaValue::from_serialize(messages),
            tools => JinjaValue::from_serialize(tools),
            bos_token => self.bos,
            add_generation_prompt => true,
            enable_thinking => thinking,
        })?;
        Ok(text)
    }
}
