# Prints C sources as "path:line:text", comments taken out and the insides of strings and character
# constants blanked, so that what is searched for is code.
FNR == 1 { in_comment = 0 }
{
    text = $0
    out = ""
    while (text != "") {
        if (in_comment) {
            end = index(text, "*/")
            if (end == 0)
                break
            text = substr(text, end + 2)
            in_comment = 0
            continue
        }
        if (!match(text, /\/\*|\/\/|"|'/)) {
            out = out text
            break
        }
        token = substr(text, RSTART, RLENGTH)
        out = out substr(text, 1, RSTART - 1)
        text = substr(text, RSTART + RLENGTH)
        if (token == "//")
            break
        if (token == "/*") {
            in_comment = 1
            out = out " "
            continue
        }
        out = out token
        # To the closing quote; a backslash takes the next character with it.
        while (text != "") {
            c = substr(text, 1, 1)
            text = substr(text, 2)
            if (c == "\\")
                text = substr(text, 2)
            else if (c == token)
                break
        }
        out = out token
    }
    print FILENAME ":" FNR ":" out
}
