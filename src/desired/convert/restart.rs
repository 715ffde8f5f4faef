//! `restart` and `deploy.restart_policy`.

use crate::desired::diagnostic::Diagnostic;
use crate::desired::manifest;
use crate::desired::node::Value;
use crate::desired::spec::RestartPolicy;

use super::deploy::Deploy;
use super::read::{Field, Fields, Reader};

pub(super) fn restart(
    reader: &mut Reader<'_, '_>,
    service: &Fields<'_>,
    deploy: &Deploy<'_>,
) -> Option<RestartPolicy> {
    let short = match service.get("restart") {
        None => None,
        Some(field) => Some((short_restart(reader, &field)?, field)),
    };
    let Some(fields) = &deploy.restart else {
        return Some(short.map(|(policy, _)| policy).unwrap_or_default());
    };
    let policy = long_restart(reader, fields)?;
    if let Some((other, field)) = short
        && other != policy
    {
        let message = format!("`{}` is overridden by `{}`", field.path, fields.path);
        let diagnostic = Diagnostic::warning(
            "overridden-value",
            field.node.span.clone(),
            message,
            "has no effect, as in Compose",
        );
        reader.report(diagnostic.also(fields.table.header.clone(), "this counts"));
    }
    Some(policy)
}

fn short_restart(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> Option<RestartPolicy> {
    const LISTED: &str = "no, always, on-failure, on-failure:<times>, unless-stopped";
    if let Value::Boolean(flag) = field.node.value {
        reader.wrong_type(field, "text", if flag { "\"always\"" } else { "\"no\"" });
        return None;
    }
    let text = reader.text(field)?;
    if let Some(times) = text.strip_prefix("on-failure:") {
        let digits = !times.is_empty() && times.bytes().all(|byte| byte.is_ascii_digit());
        let times_span = field.node.part("on-failure:".len(), text.len());
        let Some(max_retries) = times.parse().ok().filter(|_| digits) else {
            let message = format!("`{times}` is not a number of restarts");
            reader.report(Diagnostic::error(
                "bad-choice",
                times_span,
                message,
                "write for example on-failure:3",
            ));
            return None;
        };
        return Some(RestartPolicy::OnFailure { max_retries });
    }
    Some(match text {
        "no" | "" => RestartPolicy::No,
        "always" => RestartPolicy::Always,
        "unless-stopped" => RestartPolicy::UnlessStopped,
        "on-failure" => RestartPolicy::OnFailure { max_retries: 0 },
        _ => {
            let span = field.node.span.clone();
            reader.bad_choice(span, text, "restart policy", manifest::Restart::WORDS, Some(LISTED));
            return None;
        }
    })
}

fn long_restart(reader: &mut Reader<'_, '_>, fields: &Fields<'_>) -> Option<RestartPolicy> {
    let condition = match fields.get("condition") {
        None => "any",
        Some(field) => reader.choice(&field, "restart condition", manifest::RestartCondition::WORDS)?,
    };
    let attempts = match fields.get("max_attempts") {
        None => 0,
        Some(field) => {
            let attempts = reader.whole(&field, 0, i64::from(i32::MAX))?;
            if attempts > 0 && condition != "on-failure" {
                let message = format!("`{}` goes with condition = \"on-failure\" only", field.path);
                reader.error(
                    "conflicting-values",
                    field.node,
                    message,
                    "the engine counts failures, not other ends",
                );
                return None;
            }
            attempts
        }
    };
    Some(match condition {
        "none" | "no" => RestartPolicy::No,
        "unless-stopped" => RestartPolicy::UnlessStopped,
        "on-failure" => RestartPolicy::OnFailure { max_retries: u32::try_from(attempts).unwrap_or_default() },
        _ => RestartPolicy::Always,
    })
}
