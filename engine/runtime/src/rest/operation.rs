//! Decides what an operation of the API is: its method and path, who answers it, and how it is
//! described. The router and the OpenAPI document are both made from the same list of them.

use std::collections::BTreeMap;

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::http::header::{ALLOW, CONTENT_TYPE};
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, on};

use super::error::RestError;
use super::layers::{Guard, admit};
use super::{Rest, layers};

/// In the order in which Java lists them.
const METHODS: [&str; 7] = ["HEAD", "POST", "DELETE", "GET", "OPTIONS", "PUT", "PATCH"];

/// What one method of one path does.
pub(super) struct Operation {
    pub(super) about: About,
    route: MethodRouter<Rest>,
    consumes_json: bool,
    produces: Option<&'static str>,
    open: bool,
}

/// How an operation is described in the OpenAPI document.
#[derive(Clone, Debug)]
pub(super) struct About {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) summary: &'static str,
    /// Names, and what they are for.
    pub(super) query: Vec<(&'static str, &'static str)>,
    /// The schema of the request's body.
    pub(super) body: Option<&'static str>,
    /// Statuses that are no errors, with the schema of their body.
    pub(super) answers: Vec<(u16, Option<&'static str>)>,
    /// Statuses that are errors.
    pub(super) errors: Vec<u16>,
}

impl Operation {
    pub(super) fn new<H, T>(method: Method, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Rest>,
        T: 'static,
    {
        let filter = MethodFilter::try_from(method.clone()).expect("a method that axum knows");
        let about = About {
            method,
            path,
            summary: "",
            query: Vec::new(),
            body: None,
            answers: Vec::new(),
            errors: vec![500],
        };
        let produces = Some("application/json");
        Self { about, route: on(filter, handler), consumes_json: true, produces, open: false }
    }

    pub(super) fn get<H: Handler<T, Rest>, T: 'static>(path: &'static str, handler: H) -> Self {
        Self::new(Method::GET, path, handler)
    }

    pub(super) fn post<H: Handler<T, Rest>, T: 'static>(path: &'static str, handler: H) -> Self {
        Self::new(Method::POST, path, handler)
    }

    pub(super) fn put<H: Handler<T, Rest>, T: 'static>(path: &'static str, handler: H) -> Self {
        Self::new(Method::PUT, path, handler)
    }

    pub(super) fn patch<H: Handler<T, Rest>, T: 'static>(path: &'static str, handler: H) -> Self {
        Self::new(Method::PATCH, path, handler)
    }

    pub(super) fn delete<H: Handler<T, Rest>, T: 'static>(path: &'static str, handler: H) -> Self {
        Self::new(Method::DELETE, path, handler)
    }

    /// What it does, in a sentence without its full stop.
    pub(super) fn says(mut self, summary: &'static str) -> Self {
        self.about.summary = summary;
        self
    }

    /// A parameter of the query.
    pub(super) fn query(mut self, name: &'static str, meaning: &'static str) -> Self {
        self.about.query.push((name, meaning));
        self
    }

    /// The schema of the body it takes.
    pub(super) fn takes(mut self, schema: &'static str) -> Self {
        self.about.body = Some(schema);
        self
    }

    /// A status that is no error, and the schema of its body.
    pub(super) fn gives(mut self, status: u16, schema: impl Into<Option<&'static str>>) -> Self {
        self.about.answers.push((status, schema.into()));
        self
    }

    /// Statuses that are errors, beside 500.
    pub(super) fn fails(mut self, statuses: &[u16]) -> Self {
        self.about.errors.splice(0..0, statuses.iter().copied());
        self
    }

    /// The request's content type does not matter, as with Java's resources without `@Consumes`.
    pub(super) fn of_any_content(mut self) -> Self {
        self.consumes_json = false;
        self
    }

    /// It answers in a text of its own, whatever the client says it takes.
    pub(super) fn in_text(mut self) -> Self {
        self.produces = None;
        self
    }

    /// Asked by other workers, who are known by a signature instead of a user's name and need not
    /// say that they send JSON.
    pub(super) fn between_workers(mut self) -> Self {
        self.open = true;
        self.consumes_json = false;
        self
    }
}

/// Routes each operation, with and without a slash at the end of its path.
pub(super) fn router(rest: &Rest, operations: Vec<Operation>) -> Router {
    let mut paths: BTreeMap<&str, (MethodRouter<Rest>, Vec<Method>)> = BTreeMap::new();
    for operation in operations {
        let About { method, path, body, .. } = operation.about;
        let guard = Guard {
            rest: rest.clone(),
            consumes_json: operation.consumes_json,
            reads_body: body.is_some(),
            produces: operation.produces,
            open: operation.open,
        };
        let route = operation.route.route_layer(from_fn_with_state(guard, admit));
        let (routes, methods) = paths.entry(path).or_default();
        *routes = std::mem::take(routes).merge(route);
        methods.push(method);
    }
    let mut router = Router::new();
    for (path, (routes, methods)) in paths {
        let routes = routes.merge(options(rest, &methods));
        router = router.route(path, routes.clone());
        if path != "/" {
            router = router.route(&format!("{path}/"), routes);
        }
    }
    router
        .fallback(|| async { RestError::no_such_path() })
        .method_not_allowed_fallback(|| async { RestError::method_not_allowed() })
        .with_state(rest.clone())
}

/// Answers OPTIONS with the methods that a path has.
fn options(rest: &Rest, methods: &[Method]) -> MethodRouter<Rest> {
    let has = |name: &str| match name {
        "OPTIONS" => true,
        "HEAD" => methods.contains(&Method::GET),
        name => methods.iter().any(|method| method == name),
    };
    let listed: Vec<&str> = METHODS.into_iter().filter(|name| has(name)).collect();
    let (allow, text) = (listed.join(","), listed.join(", "));
    let answer =
        || async move { ([(ALLOW, allow), (CONTENT_TYPE, layers::TEXT.to_owned())], text) };
    let guard = Guard {
        rest: rest.clone(),
        consumes_json: false,
        reads_body: false,
        produces: None,
        open: false,
    };
    on(MethodFilter::OPTIONS, answer).route_layer(from_fn_with_state(guard, admit))
}
