/* The documents of documents.c, put into the binary as they are. */
    .section .rodata
    .global documents_openapi, documents_openapi_end, documents_client, documents_client_end
documents_openapi:
    .incbin "openapi.yaml"
documents_openapi_end:
    .byte 0
documents_client:
    .incbin "deploy/client/ckptd.py"
documents_client_end:
    .byte 0
    .section .note.GNU-stack,"",%progbits
