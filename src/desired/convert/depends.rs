//! `depends_on`.

use std::collections::BTreeMap;

use crate::desired::diagnostic::{Diagnostic, Severity, Span};
use crate::desired::ident::ServiceName;
use crate::desired::manifest;
use crate::desired::node::Value;
use crate::desired::spec::{Dependency, DependencyCondition};
use crate::desired::suggest::nearest;

use super::keys::{Parent, line_of};
use super::read::{Field, Fields, Reader};

type Dependencies = BTreeMap<ServiceName, Dependency>;

const STARTED: Dependency =
    Dependency { condition: DependencyCondition::ServiceStarted, restart: false, required: true };

pub(super) fn depends_on(
    reader: &mut Reader<'_, '_>,
    service: &Fields<'_>,
    own: &ServiceName,
) -> Dependencies {
    let mut all = Dependencies::new();
    let Some(field) = service.get("depends_on") else { return all };
    match &field.node.value {
        Value::Array(items) => {
            for item in items {
                let item = field.item(item);
                if let Some(name) = reader.text(&item)
                    && let Some(name) = known(reader, item.node.span.clone(), name, Some(own), true)
                {
                    all.insert(name, STARTED);
                }
            }
        }
        Value::Table(table) => {
            for (name, entry) in Fields::new(table, field.path.clone()).all() {
                let Some(dependency) = dependency(reader, service, &entry) else { continue };
                if let Some(name) = known(reader, entry.key.clone(), name, Some(own), dependency.required) {
                    all.insert(name, dependency);
                }
            }
        }
        _ => reader.wrong_type(&field, "a list or a table", "depends_on = [\"db\"]"),
    }
    all
}

fn dependency(reader: &mut Reader<'_, '_>, service: &Fields<'_>, field: &Field<'_>) -> Option<Dependency> {
    if let Value::Table(table) = &field.node.value {
        let fields = Fields::new(table, field.path.clone());
        let parents = [Parent { path: &service.path, shape: "Service" }];
        reader.check(&fields, "Dependency", &parents);
        let condition = match fields.get("condition") {
            Some(field) => condition(reader, &field),
            None => Some(DependencyCondition::ServiceStarted),
        };
        let restart = fields.get("restart").map_or(Some(false), |field| reader.flag(&field));
        let required = fields.get("required").map_or(Some(true), |field| reader.flag(&field));
        return Some(Dependency { condition: condition?, restart: restart?, required: required? });
    }
    condition(reader, field).map(|condition| Dependency { condition, ..STARTED })
}

fn condition(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> Option<DependencyCondition> {
    Some(match reader.choice(field, "condition", manifest::Condition::WORDS)? {
        "service_healthy" => DependencyCondition::ServiceHealthy,
        "service_completed_successfully" => DependencyCondition::ServiceCompletedSuccessfully,
        _ => DependencyCondition::ServiceStarted,
    })
}

/// The name, if the project has such a service and it is another one. One that is not required may be missing.
pub(super) fn known(
    reader: &mut Reader<'_, '_>,
    span: Span,
    name: &str,
    own: Option<&ServiceName>,
    required: bool,
) -> Option<ServiceName> {
    let context = reader.context;
    if own.is_some_and(|own| own.as_str() == name) {
        let message = format!("service `{name}` would wait for itself");
        reader.report(Diagnostic::error("dependency-cycle", span, message, "drop it"));
        return None;
    }
    if context.services.contains_key(name) {
        return ServiceName::new(name);
    }
    let near = nearest(
        name,
        context
            .services
            .keys()
            .map(String::as_str)
            .filter(|other| own.is_none_or(|own| own.as_str() != *other)),
    );
    let label = match near.and_then(|near| Some((near, context.services.get(near)?))) {
        Some((near, place)) => match line_of(place, context.read) {
            Some(line) => format!("did you mean `{near}` ({}:{line})?", place.file),
            None => format!("did you mean `{near}` ({})?", place.file),
        },
        None => "no file of the project has it".to_owned(),
    };
    let message = format!("no service `{name}` in project `{}`", context.project);
    let mut diagnostic = Diagnostic::error("unknown-dependency", span, message, label);
    if !required {
        diagnostic.severity = Severity::Warning;
    }
    reader.report(diagnostic);
    None
}
