//! What depends on the engine's version.

use crate::desired::diagnostic::Diagnostic;

use super::read::{Field, Reader};

impl Reader<'_, '_> {
    /// Says when the host's engine is older than a key needs: an error, or for keys that an older engine just ignores
    /// a warning. Nothing without an engine to ask.
    pub(super) fn needs_api(&mut self, field: &Field<'_>, api: (u32, u32), engine: &str, refuse: bool) {
        let host = self.context.host;
        let Some(found) = host.api.filter(|found| *found < api) else { return };
        let version = host.engine_version.as_deref().unwrap_or("an older one");
        let short: Vec<&str> = version.splitn(3, '.').take(2).collect();
        let key = field.name();
        let message = format!(
            "`{key}` needs Docker Engine {engine} (API {}.{}); host `{}` runs {} (API {}.{})",
            api.0,
            api.1,
            host.name,
            short.join("."),
            found.0,
            found.1,
        );
        let diagnostic = if refuse {
            Diagnostic::error(
                "engine-too-old",
                field.key.clone(),
                message,
                format!("impossible on {}", host.name),
            )
        } else {
            Diagnostic::warning(
                "engine-too-old",
                field.key.clone(),
                message,
                format!("ignored on {}", host.name),
            )
        };
        self.report(diagnostic);
    }
}
