//! What each operation needs, put into the description from the table of routes: so a route cannot be
//! described otherwise than it is guarded.

use http::Method;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Components, Content, OpenApi, Ref, RefOr};

use crate::access::{Need, Role};
use crate::door::http::route::ROUTES;

/// What the description calls a token.
const SCHEME: &str = "token";
const FORBIDDEN: &str = "`forbidden`: the token's role is not enough";

/// Adds the security of each operation, and what is answered who has none.
pub(super) fn describe(document: &mut OpenApi) {
    let components = document.components.get_or_insert_with(Components::default);
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "A token of the node's file of tokens; names beside it are the roles that will do",
        ));
    components.add_security_scheme(SCHEME, SecurityScheme::Http(scheme.build()));
    for entry in &ROUTES {
        let Some(item) = document.paths.paths.get_mut(entry.path) else {
            continue;
        };
        for (method, operation) in operations(item) {
            if let Some(role) = entry.need(&method).role() {
                guard(operation, role);
            }
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let all = [
        (Method::GET, &mut item.get),
        (Method::PUT, &mut item.put),
        (Method::POST, &mut item.post),
        (Method::DELETE, &mut item.delete),
        (Method::PATCH, &mut item.patch),
    ];
    all.into_iter()
        .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

fn guard(operation: &mut Operation, role: Role) {
    let requirement = SecurityRequirement::new(SCHEME, [role.name()]);
    operation.security = Some(vec![requirement]);
    let responses = &mut operation.responses.responses;
    let challenge = HeaderBuilder::new()
        .description(Some(
            "Bearer, and what is wrong with the token, if there is one",
        ))
        .build();
    let missing = failure("`unauthorized`: no token, or none of this node's")
        .header("WWW-Authenticate", challenge);
    responses.insert("401".to_owned(), RefOr::T(missing.build()));
    if Need::Read.role() == Some(role) {
        // There is no lesser one.
        return;
    }
    match responses.get_mut("403") {
        Some(RefOr::T(Response { description, .. })) => {
            *description = format!("{FORBIDDEN}; {description}");
        }
        _ => {
            responses.insert("403".to_owned(), RefOr::T(failure(FORBIDDEN).build()));
        }
    }
}

fn failure(description: &str) -> ResponseBuilder {
    let body = Content::new(Some(Ref::from_schema_name("Failure")));
    ResponseBuilder::new()
        .description(description)
        .content("application/json", body)
}
