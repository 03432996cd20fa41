use bd_proto::{Fault, FaultKind};

/// Why an engine could not do it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct EngineError {
    /// What kind of failure it is, for the client.
    pub kind: FaultKind,
    /// The object, the cause and the next step.
    pub message: String,
    /// What lies below.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl EngineError {
    /// An error without a cause below it.
    pub fn new(kind: FaultKind, message: impl Into<String>) -> EngineError {
        EngineError {
            kind,
            message: message.into(),
            source: None,
        }
    }
}

impl From<EngineError> for Fault {
    fn from(error: EngineError) -> Fault {
        let mut message = error.message;
        let mut below = error.source.as_deref().map(|e| e as &dyn std::error::Error);
        while let Some(cause) = below {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            below = cause.source();
        }
        Fault::new(error.kind, message)
    }
}
