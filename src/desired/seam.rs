//! Stands in for the typed conversion until that is there.

use std::collections::BTreeMap;

use super::diagnostic::{Diagnostic, Span};
use super::ident::{ProjectName, ServiceId};
use super::node::{Node, Table};
use super::snapshot::{FileContent, HostFacts};
use super::spec::{NetworkSpec, ServiceSpec, VolumeSpec};

pub type Files<'a> = dyn Fn(&str) -> Option<&'a FileContent> + 'a;

#[allow(dead_code)]
pub struct Context<'a> {
    pub project: &'a ProjectName,
    pub root: &'a str,
    pub networks: &'a BTreeMap<String, Declared>,
    pub volumes: &'a BTreeMap<String, Declared>,
    pub services: &'a BTreeMap<String, Span>,
    pub read: &'a Files<'a>,
    pub variables: &'a dyn Fn(&str) -> Option<String>,
    pub host: &'a HostFacts,
}

#[allow(dead_code)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    pub span: Span,
    pub name: String,
    pub external: bool,
}

impl Declared {
    pub fn of(project: &ProjectName, key: &str, span: Span, _node: &Node) -> Self {
        Self { span, name: format!("{project}_{key}"), external: false }
    }
}

pub struct Parent;

pub fn check_keys(
    _table: &Table,
    _shape: &str,
    _path: &str,
    _parents: &[Parent],
    _files: &Files<'_>,
    _diagnostics: &mut Vec<Diagnostic>,
) {
}

pub fn service(_: &ServiceId, _: &Table, _: &Context<'_>, _: &mut Vec<Diagnostic>) -> Option<ServiceSpec> {
    None
}

pub fn network(
    _: &ProjectName,
    _: &str,
    _: &Node,
    _: &Context<'_>,
    _: &mut Vec<Diagnostic>,
) -> Option<NetworkSpec> {
    None
}

pub fn volume(
    _: &ProjectName,
    _: &str,
    _: &Node,
    _: &Context<'_>,
    _: &mut Vec<Diagnostic>,
) -> Option<VolumeSpec> {
    None
}
