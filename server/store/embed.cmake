# cmake -D SOURCES="a.sql;b.sql" -D OUT=migrations.c -P embed.cmake: the migrations as a C table.
set(arrays "")
set(rows "")
foreach(source IN LISTS SOURCES)
  get_filename_component(stem ${source} NAME_WE)
  if(NOT stem MATCHES "^0*([1-9][0-9]*)_([a-z0-9_]+)$")
    message(FATAL_ERROR "${source} is not called NNNN_name.sql")
  endif()
  set(number ${CMAKE_MATCH_1})
  file(READ ${source} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  string(REGEX REPLACE "((0x..,){16})" "    \\1\n" bytes "${bytes}")
  string(APPEND arrays "static const unsigned char text_${stem}[] = {\n${bytes}};\n\n")
  string(APPEND rows "    {${number}, \"${stem}\", text_${stem}, sizeof text_${stem}},\n")
endforeach()
file(WRITE ${OUT} "/* Made by embed.cmake. */
#include \"server/store/migrate.h\"

${arrays}const struct migration migrate_known[] = {
${rows}};
const size_t migrate_known_count = sizeof migrate_known / sizeof migrate_known[0];
")
