//! HTTP.
use std::sync::Arc;

use crate::config::Config;
use crate::node::status::{Readiness, Reporter};
use crate::router::Router;

/// What the door needs.
#[derive(Clone, Debug)]
pub struct Context {
    /// Commands go here.
    pub router: Router,
    /// Status comes from here.
    pub reporter: Reporter,
    /// Whether to answer.
    pub readiness: Readiness,
    /// Settings.
    pub config: Arc<Config>,
}

/// The door.
#[derive(Debug)]
pub struct Door(Context);

impl Door {
    /// A door.
    #[must_use]
    pub fn new(context: Context) -> Door {
        Door(context)
    }

    /// Serves.
    pub async fn serve(
        self,
        listener: tokio::net::TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) {
        let reporter = self.0.reporter.clone();
        let app = axum::Router::new().route(
            "/status",
            axum::routing::get(move || {
                let r = reporter.clone();
                async move { axum::Json(r.status()) }
            }),
        );
        let _ = (&self.0.router, &self.0.readiness, &self.0.config);
        let service = hyper_util::service::TowerToHyperService::new(app);
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => return,
                accepted = listener.accept() => {
                    if let Ok((stream, _)) = accepted {
                        let service = service.clone();
                        tokio::spawn(async move {
                            let _ = hyper::server::conn::http1::Builder::new().serve_connection(hyper_util::rt::TokioIo::new(stream), service).await;
                        });
                    }
                }
            }
        }
    }
}
