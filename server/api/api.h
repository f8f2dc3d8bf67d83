#pragma once
/*
 * The handlers: one file a resource, one row a handler in routes.c; a handler's name is openapi's
 * operationId. Nothing here parses a checkpoint: that is a job.
 */
#include "server/http/route.h"

extern const struct route api_routes[];
extern const size_t api_route_count;

/* versions.c */
handler_function versions_list, versions_get;
/* uploads.c */
extern const struct upload versions_put, versions_post;
/* uploads_file.c, uploads_commit.c */
extern const struct upload versions_file_put, versions_commit;
/* models.c */
handler_function models_list, models_list_namespace, models_get;
/* files.c */
handler_function versions_file, versions_tensor_data;
/* tensors.c */
handler_function versions_tensors, versions_findings;
/* compatibility.c */
handler_function versions_compatibility;
/* health.c */
handler_function livez, readyz;
/* documents.c */
handler_function root, openapi, client;
