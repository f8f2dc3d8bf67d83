/* The table of routes. A row's name is openapi's operationId; a test holds the two together. */
#include "common/base/attr.h"
#include "server/api/api.h"
#include "server/http/request.h"

enum { MANIFEST_BYTES_MAX = 64 << 20 };

#define VERSIONS "/v1/models/{ns}/{model}/versions"

const struct route api_routes[] = {
    {.method = METHOD_GET, .pattern = "/", .name = "root", .handler = root},
    {.method = METHOD_GET, .pattern = "/livez", .name = "livez", .handler = livez},
    {.method = METHOD_GET, .pattern = "/readyz", .name = "readyz", .handler = readyz,
     .query = "verbose"},
    {.method = METHOD_GET, .pattern = "/openapi.yaml", .name = "openapi", .handler = openapi},
    {.method = METHOD_GET, .pattern = "/ckptd.py", .name = "client", .handler = client},

    {.method = METHOD_GET, .pattern = "/v1/models", .name = "models_list", .handler = models_list,
     .scope = SCOPE_READ, .query = "limit cursor"},
    {.method = METHOD_GET, .pattern = "/v1/models/{ns}", .name = "models_list_namespace",
     .handler = models_list_namespace, .scope = SCOPE_READ, .namespace = "ns",
     .query = "limit cursor"},
    {.method = METHOD_GET, .pattern = "/v1/models/{ns}/{model}", .name = "models_get",
     .handler = models_get, .scope = SCOPE_READ, .namespace = "ns"},

    {.method = METHOD_GET, .pattern = VERSIONS, .name = "versions_list", .handler = versions_list,
     .scope = SCOPE_READ, .namespace = "ns", .query = "limit cursor"},
    {.method = METHOD_POST, .pattern = VERSIONS, .name = "versions_post", .upload = &versions_post,
     .pool = ROUTE_IO, .scope = SCOPE_WRITE, .namespace = "ns", .body = BODY_STREAM,
     .query = "filename alias digest meta.* wait"},
    {.method = METHOD_PUT, .pattern = VERSIONS "/{ref}", .name = "versions_put",
     .upload = &versions_put, .pool = ROUTE_IO, .scope = SCOPE_WRITE, .namespace = "ns",
     .body = BODY_STREAM, .query = "filename alias digest if_exists meta.* wait"},
    {.method = METHOD_GET, .pattern = VERSIONS "/{ref}", .name = "versions_get",
     .handler = versions_get, .scope = SCOPE_READ, .namespace = "ns", .query = "wait include"},
    {.method = METHOD_GET, .pattern = VERSIONS "/{ref}/tensors", .name = "versions_tensors",
     .handler = versions_tensors, .scope = SCOPE_READ, .namespace = "ns",
     .query = "container limit cursor view prefix"},
    {.method = METHOD_GET, .pattern = VERSIONS "/{ref}/findings", .name = "versions_findings",
     .handler = versions_findings, .scope = SCOPE_READ, .namespace = "ns"},
    {.method = METHOD_GET, .pattern = VERSIONS "/{ref}/files/{path...}", .name = "versions_file",
     .handler = versions_file, .scope = SCOPE_READ, .namespace = "ns"},
    {.method = METHOD_GET, .pattern = VERSIONS "/{ref}/tensor-data",
     .name = "versions_tensor_data", .handler = versions_tensor_data, .scope = SCOPE_READ,
     .namespace = "ns", .query = "name container"},
    {.method = METHOD_POST, .pattern = VERSIONS "/{ref}/compatibility",
     .name = "versions_compatibility", .handler = versions_compatibility, .scope = SCOPE_READ,
     .namespace = "ns", .body = BODY_SMALL, .body_cap_bytes = MANIFEST_BYTES_MAX,
     .query = "against loader container remap infer require dtype min_coverage allow_missing+ "
              "allow_unexpected+ allow_mismatch+ limit include format wait"},
};

const size_t api_route_count = ARRAY_LENGTH(api_routes);
