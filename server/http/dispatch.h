#pragma once
/* Inside server/http only: what libmicrohttpd calls, on its polling threads. */
#include "server/http/exchange.h"

enum MHD_Result dispatch_request(void *cls, struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version, const char *upload_data,
                                 size_t *upload_data_size, void **con_cls);
void dispatch_completed(void *cls, struct MHD_Connection *connection, void **con_cls,
                        enum MHD_RequestTerminationCode code);
void *dispatch_uri(void *cls, const char *uri, struct MHD_Connection *connection);
size_t dispatch_unescape(void *cls, struct MHD_Connection *connection, char *text);
