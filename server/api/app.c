#include "server/api/app.h"

#include <stdio.h>

struct wait_key
app_wait_key(int64_t version_id)
{
    struct wait_key key;

    (void)snprintf(key.text, sizeof key.text, "version/%lld", (long long)version_id);
    return key;
}

void
app_version_settled(struct app *app, int64_t version_id)
{
    struct wait_key key = app_wait_key(version_id);

    if (app->httpd != NULL)
        httpd_signal(app->httpd, slice_of(key.text));
}
