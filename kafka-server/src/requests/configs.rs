//! `DescribeConfigs`, `AlterConfigs` and `IncrementalAlterConfigs`: the settings of topics, and of this node, which
//! has none that could be changed while it runs.

use engine::topics::{Setting, SettingChange, SettingKind, SettingSource};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse as AlteredIncrementally;
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, DescribeConfigsRequest, DescribeConfigsResponse,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};

use super::{NODE_ID, broker_settings, string};
use crate::coordinator::Node;
use crate::server::Shared;

/// Kinds of resources.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// Where a value comes from.
const SOURCE_TOPIC: i8 = 1;
const SOURCE_STATIC_BROKER: i8 = 4;
const SOURCE_DEFAULT: i8 = 5;

type Refusal = (ResponseError, String);

pub fn describe(
    shared: &Shared,
    node: &Node,
    request: DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    let results = request
        .resources
        .into_iter()
        .map(|resource| {
            let result = DescribeConfigsResult::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone());
            match settings_of(shared, node, &resource) {
                Ok(settings) => result.with_configs(
                    settings
                        .into_iter()
                        .filter(|setting| is_asked(&resource, setting))
                        .map(|setting| {
                            described(resource.resource_type, setting, request.include_synonyms)
                        })
                        .collect(),
                ),
                Err((error, reason)) => result
                    .with_error_code(error.code())
                    .with_error_message(Some(string(reason))),
            }
        })
        .collect();
    DescribeConfigsResponse::default().with_results(results)
}

fn settings_of(
    shared: &Shared,
    node: &Node,
    resource: &DescribeConfigsResource,
) -> Result<Vec<Setting>, Refusal> {
    match resource.resource_type {
        TOPIC => shared
            .topics
            .settings(&resource.resource_name)
            .map_err(|error| (super::code(&error), error.to_string())),
        // What holds for all brokers is what was changed while they run.
        BROKER if resource.resource_name.is_empty() => Ok(Vec::new()),
        BROKER if is_this_node(&resource.resource_name) => Ok(broker_settings::all(shared, node)),
        kind => Err(no_such_resource(kind, &resource.resource_name)),
    }
}

fn is_this_node(name: &str) -> bool {
    name.is_empty() || name == NODE_ID.to_string()
}

fn no_such_resource(kind: i8, name: &str) -> Refusal {
    let reason = match kind {
        BROKER => format!("Unexpected broker id, expected {NODE_ID}, but received {name}"),
        other => format!("Unsupported resource type: {other}"),
    };
    (ResponseError::InvalidRequest, reason)
}

fn is_asked(resource: &DescribeConfigsResource, setting: &Setting) -> bool {
    match &resource.configuration_keys {
        None => true,
        Some(keys) if keys.is_empty() => true,
        Some(keys) => keys.iter().any(|key| key.as_str() == setting.name),
    }
}

fn described(
    resource_type: i8,
    setting: Setting,
    with_synonyms: bool,
) -> DescribeConfigsResourceResult {
    let source = match setting.source {
        SettingSource::Set if resource_type == BROKER => SOURCE_STATIC_BROKER,
        SettingSource::Set => SOURCE_TOPIC,
        SettingSource::Default => SOURCE_DEFAULT,
    };
    let synonym = |value: &str, source| {
        DescribeConfigsSynonym::default()
            .with_name(string(setting.name))
            .with_value(Some(string(value)))
            .with_source(source)
    };
    let mut synonyms = Vec::new();
    if with_synonyms {
        if source != SOURCE_DEFAULT {
            synonyms.push(synonym(&setting.value, source));
        }
        synonyms.push(synonym(setting.default, SOURCE_DEFAULT));
    }
    DescribeConfigsResourceResult::default()
        .with_name(string(setting.name))
        .with_config_type(match setting.kind {
            SettingKind::Boolean => 1,
            SettingKind::String => 2,
            SettingKind::Int => 3,
            SettingKind::Long => 5,
            SettingKind::Double => 6,
            SettingKind::List => 7,
        })
        .with_value(Some(string(setting.value)))
        .with_read_only(resource_type == BROKER)
        .with_config_source(source)
        .with_synonyms(synonyms)
}

/// What a topic's settings shall be; all that are not named go back to their defaults.
pub async fn alter(shared: &Shared, request: AlterConfigsRequest) -> AlterConfigsResponse {
    let mut responses = Vec::with_capacity(request.resources.len());
    for resource in request.resources {
        let (kind, name) = (resource.resource_type, resource.resource_name);
        let named: Vec<(String, Option<String>)> = resource
            .configs
            .into_iter()
            .map(|config| (config.name.to_string(), config.value.map(|v| v.to_string())))
            .collect();
        let altered = match replaced(shared, kind, &name, named) {
            Ok(changes) => apply(shared, kind, &name, changes, request.validate_only).await,
            Err(refusal) => Err(refusal),
        };
        let response = AlterConfigsResourceResponse::default()
            .with_resource_type(kind)
            .with_resource_name(name);
        responses.push(match altered {
            Ok(()) => response,
            Err((error, reason)) => response
                .with_error_code(error.code())
                .with_error_message(Some(string(reason))),
        });
    }
    AlterConfigsResponse::default().with_responses(responses)
}

fn replaced(
    shared: &Shared,
    kind: i8,
    topic: &str,
    named: Vec<(String, Option<String>)>,
) -> Result<Vec<(String, SettingChange)>, Refusal> {
    if kind != TOPIC {
        return Err(no_such_resource(kind, topic));
    }
    let now = shared
        .topics
        .settings(topic)
        .map_err(|error| (super::code(&error), error.to_string()))?;
    let mut changes: Vec<(String, SettingChange)> = now
        .into_iter()
        .filter(|setting| setting.source == SettingSource::Set)
        .filter(|setting| named.iter().all(|(name, _)| name != setting.name))
        .map(|setting| (setting.name.to_owned(), SettingChange::Unset))
        .collect();
    changes.extend(named.into_iter().map(|(name, value)| {
        let change = value.map_or(SettingChange::Unset, SettingChange::Set);
        (name, change)
    }));
    Ok(changes)
}

/// Changes of single settings.
pub async fn alter_incrementally(
    shared: &Shared,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let mut responses = Vec::with_capacity(request.resources.len());
    for resource in request.resources {
        let (kind, name) = (resource.resource_type, resource.resource_name);
        let changes: Result<Vec<_>, Refusal> = resource
            .configs
            .into_iter()
            .map(|config| {
                let change = change(config.config_operation, config.value.as_deref())
                    .map_err(|reason| (ResponseError::InvalidRequest, reason))?;
                Ok((config.name.to_string(), change))
            })
            .collect();
        let altered = match changes {
            Ok(changes) => apply(shared, kind, &name, changes, request.validate_only).await,
            Err(refusal) => Err(refusal),
        };
        let response = AlteredIncrementally::default()
            .with_resource_type(kind)
            .with_resource_name(name);
        responses.push(match altered {
            Ok(()) => response,
            Err((error, reason)) => response
                .with_error_code(error.code())
                .with_error_message(Some(string(reason))),
        });
    }
    IncrementalAlterConfigsResponse::default().with_responses(responses)
}

fn change(operation: i8, value: Option<&str>) -> Result<SettingChange, String> {
    let value = || {
        value
            .map(str::to_owned)
            .ok_or_else(|| "Null value not supported for this operation".to_owned())
    };
    match operation {
        0 => Ok(SettingChange::Set(value()?)),
        1 => Ok(SettingChange::Unset),
        2 => Ok(SettingChange::Append(value()?)),
        3 => Ok(SettingChange::Subtract(value()?)),
        other => Err(format!("Unknown operation type {other}")),
    }
}

async fn apply(
    shared: &Shared,
    kind: i8,
    name: &str,
    changes: Vec<(String, SettingChange)>,
    only_check: bool,
) -> Result<(), Refusal> {
    if kind == BROKER && is_this_node(name) {
        let reason = "Settings of this node are given when it starts".to_owned();
        return Err((ResponseError::InvalidConfig, reason));
    }
    if kind != TOPIC {
        return Err(no_such_resource(kind, name));
    }
    let altered = shared.topics.alter_settings(name, changes, only_check);
    altered
        .await
        .map_err(|error| (super::code(&error), error.to_string()))
}
