//! From a request to its operations.

use common::address::NameTooLong;
use common::limits::VALUE_BYTES_MAX;
use common::op::{Action, Expiry, Want, Write};

use super::accept::Form;
use super::answer::HttpAnswer;
use super::call::{HttpCall, HttpStarted, Waiting};
use super::conditions::{Conditions, WriteCondition};
use super::object::ListObject;
use super::options::{EXPIRE_AT, Options, TTL};
use super::origin;
use super::record::{GetRecord, WriteRequest};
use super::request::HttpRequest;
use super::target::{Name, Page, Target};
use crate::front::call::Submit;

/// Starts a request: answers it at once, or submits its operations.
pub fn start(request: &HttpRequest<'_>, submit: &mut dyn Submit) -> HttpStarted {
    match waiting(request, submit) {
        Ok(waiting) => HttpStarted::Waiting(HttpCall::new(waiting)),
        Err(answer) => HttpStarted::Answered(answer),
    }
}

fn waiting(request: &HttpRequest<'_>, submit: &mut dyn Submit) -> Result<Waiting, HttpAnswer> {
    if origin::is_foreign(request) {
        let error = "refused: the request comes from a page of another site";
        return Err(HttpAnswer::error(403, "foreign_origin", error));
    }
    let options = Options::of(request)?;
    match Target::of(request.path_and_query)? {
        Target::Record(name) => record(request, name, options, submit),
        Target::Object(name, page) => object(request, name, page, options, submit),
    }
}

fn record(
    request: &HttpRequest<'_>,
    name: Name,
    options: Options,
    submit: &mut dyn Submit,
) -> Result<Waiting, HttpAnswer> {
    let at = name.as_address();
    at.check().map_err(too_long)?;
    let conditions = Conditions::of(request);
    match request.method {
        "GET" | "HEAD" => {
            no_expiry(options)?;
            let (form, head) = (Form::wanted(request), request.method == "HEAD");
            Ok(Waiting::Get(GetRecord::start(name, conditions, form, head, submit)))
        }
        "PUT" => {
            let value = request.body;
            if value.len() > VALUE_BYTES_MAX {
                let error = format!("the value has {} bytes, max {VALUE_BYTES_MAX}", value.len());
                return Err(HttpAnswer::over_limit(&error));
            }
            let action = Action::Put { value, replace: false };
            let expiry = options.expiry.unwrap_or(Expiry::Never);
            let write = Write { at, action, expiry, want: Want::Nothing };
            let condition = conditions.for_write()?;
            let put = WriteRequest::Put.start(write, &condition, options.durability, submit)?;
            Ok(Waiting::Write(put))
        }
        "DELETE" => {
            no_expiry(options)?;
            let condition = conditions.for_write()?;
            if condition == WriteCondition::Test(common::op::Test::Absent) {
                return Err(HttpAnswer::bad_request("If-None-Match has no meaning for DELETE"));
            }
            let (delete, durability) = (WriteRequest::DeleteRecord, options.durability);
            Ok(Waiting::Write(delete.start(Write::delete(at), &condition, durability, submit)?))
        }
        other => Err(not_allowed(other, "GET, HEAD, PUT, DELETE")),
    }
}

fn object(
    request: &HttpRequest<'_>,
    name: Name,
    page: Page,
    options: Options,
    submit: &mut dyn Submit,
) -> Result<Waiting, HttpAnswer> {
    name.as_object().check().map_err(too_long)?;
    match request.method {
        "GET" => {
            no_expiry(options)?;
            Ok(Waiting::List(ListObject::start(name, page, submit)))
        }
        "DELETE" => {
            no_expiry(options)?;
            if page != Page::default() {
                return Err(HttpAnswer::bad_request("DELETE takes the whole object, not a page"));
            }
            if Conditions::of(request).for_write()? != WriteCondition::None {
                let error =
                    "an object has no entity tag: If-Match and If-None-Match are for records";
                return Err(HttpAnswer::bad_request(error));
            }
            let write = Write::delete_object(name.as_object());
            let (delete, durability) = (WriteRequest::DeleteObject, options.durability);
            Ok(Waiting::Write(delete.start(write, &WriteCondition::None, durability, submit)?))
        }
        other => Err(not_allowed(other, "GET, DELETE")),
    }
}

fn no_expiry(options: Options) -> Result<(), HttpAnswer> {
    match options.expiry {
        None => Ok(()),
        Some(_) => {
            let error = format!("{TTL} and {EXPIRE_AT} have a meaning for PUT only");
            Err(HttpAnswer::bad_request(&error))
        }
    }
}

fn too_long(error: NameTooLong) -> HttpAnswer {
    HttpAnswer::over_limit(&error.to_string())
}

fn not_allowed(method: &str, allowed: &str) -> HttpAnswer {
    let error = format!("{method} is not possible here; use {allowed}");
    HttpAnswer::error(405, "method_not_allowed", &error).with("Allow", allowed)
}
