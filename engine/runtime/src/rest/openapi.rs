//! `/openapi.json`: the description of the API, made from the same operations as the router. Java
//! Connect has none.

use axum::Json;
use axum::http::Method;
use serde_json::{Map, Value, json};

use super::operation::{About, Operation};

/// What requests and answers are made of.
const SCHEMAS: &str = include_str!("schemas.json");

/// The operation that gives the document, which describes the others and itself.
pub(super) fn operation(others: &[Operation]) -> Operation {
    let about = |document: Value| {
        Operation::get("/openapi.json", move || async move { Json(document) })
            .says("This document")
            .gives(200, "OpenApi")
            .of_any_content()
    };
    let itself = about(Value::Null).about;
    let all = others.iter().map(|operation| &operation.about).chain([&itself]);
    about(document(all))
}

fn document<'a>(operations: impl Iterator<Item = &'a About>) -> Value {
    let mut paths = Map::new();
    for about in operations {
        let path = paths.entry(about.path).or_insert_with(|| json!({}));
        path[about.method.as_str().to_lowercase()] = describe(about);
    }
    let schemas: Value = serde_json::from_str(SCHEMAS).expect("a test reads it");
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Kafka Connect REST API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What Kafka Connect 4.3.1 answers, served by Millrace.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "basic": { "type": "http", "scheme": "basic" } },
        },
        // With users or without: as the worker is configured.
        "security": [{}, { "basic": [] }],
    })
}

fn describe(about: &About) -> Value {
    let mut parameters: Vec<Value> = names_in(about.path).map(path_parameter).collect();
    parameters.extend(about.query.iter().map(|(name, meaning)| {
        json!({
            "name": name, "in": "query", "description": meaning,
            "schema": { "type": "array", "items": { "type": "string" } },
        })
    }));
    let mut responses = Map::new();
    for (status, schema) in &about.answers {
        let mut response = json!({ "description": reason(*status) });
        if let Some(schema) = schema {
            response["content"] = content(schema);
        }
        responses.insert(status.to_string(), response);
    }
    for status in &about.errors {
        let error = || json!({ "description": reason(*status), "content": content("Error") });
        responses.entry(status.to_string()).or_insert_with(error);
    }
    let mut operation = json!({
        "operationId": operation_id(&about.method, about.path),
        "summary": about.summary,
        "tags": [about.path.split('/').nth(1).filter(|tag| !tag.is_empty()).unwrap_or("worker")],
        "parameters": parameters,
        "responses": responses,
    });
    if let Some(schema) = about.body {
        operation["requestBody"] = json!({ "required": true, "content": content(schema) });
    }
    operation
}

fn content(schema: &str) -> Value {
    json!({ "application/json": { "schema": { "$ref": format!("#/components/schemas/{schema}") } } })
}

/// The names in braces.
fn names_in(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn path_parameter(name: &str) -> Value {
    let kind = if name == "task" { "integer" } else { "string" };
    json!({ "name": name, "in": "path", "required": true, "schema": { "type": kind } })
}

/// `getConnectorsConnectorStatus`: unique, since path and method are.
fn operation_id(method: &Method, path: &str) -> String {
    let mut id = method.as_str().to_lowercase();
    for word in path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()) {
        id.push_str(&word[..1].to_uppercase());
        id.push_str(&word[1..]);
    }
    id
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "Done",
        201 => "Created",
        202 => "Accepted: it goes on in the background",
        204 => "Done, with nothing to say",
        400 => "The request is wrong",
        403 => "The worker's configuration forbids it",
        404 => "There is no such thing",
        409 => "It exists already, or the worker is busy",
        503 => "The worker is still starting",
        _ => "The request cannot be read, or the worker failed",
    }
}
