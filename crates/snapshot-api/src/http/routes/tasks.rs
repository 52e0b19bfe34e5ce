//! `/tasks`

use actix_web::{HttpRequest, HttpResponse, web::Data};

use super::task_id;
use crate::http::{
    Api, blocking::read_rows, body::OneTask, caller::identify, error::ApiError, generation::Generation,
    openapi::parameters,
};

/// Reads a task.
#[utoipa::path(
    get, path = "/tasks/{id}", operation_id = "get_task", tag = "tasks",
    params(parameters::ById),
    responses((status = 200, description = "The task", body = OneTask)),
)]
pub(super) async fn get(api: Data<Api>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let caller = identify(&api, &request).await?;
    let id = task_id(&request)?;
    let task = read_rows(&api, move |api| api.tasks.get(&caller, id)).await?;
    Ok(HttpResponse::Ok().json(OneTask::new(&task, &Generation::of(&api, &request))))
}
