import com.fasterxml.jackson.databind.ObjectMapper;
import com.jayway.jsonpath.Configuration;
import com.jayway.jsonpath.JsonPath;
import com.jayway.jsonpath.Option;
import com.jayway.jsonpath.PathNotFoundException;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;

/**
 * Prints what JsonPath finds: see the script `record`. A line is the number of a document or `-`, the
 * document or a path, and what was found: the items as JSON, `missing`, `error` or `invalid`.
 */
public class Record {
    private static final String[] DOCUMENTS = {
        "{\"a\":1,\"b\":{\"c\":\"x\",\"n\":null,\"l\":[1,2,{\"d\":5}]},\"s\":\"str\",\"f\":2.5,\"t\":true,"
            + "\"n\":null,\"e\":[],\"num\":\"12\",\"my prop\":1,\"q\":\"it's\"}",
        "{\"a\":\"1\",\"b\":[{\"c\":\"x\"},{\"c\":\"y\",\"l\":[[1]]},3,null],\"s\":\"\",\"f\":-1e2,\"t\":\"true\","
            + "\"e\":[{\"x\":null}],\"x\":{\"y\":{\"z\":0}},\"q\":null}",
        "{}",
    };

    private static final String[] PATHS = {
        "$", "$.a", "$.b.c", "$.x", "$.b.x", "$.n", "$.b.n", "$.n.x", "$.a.x", "$[?(@.a == 1)]",
        "$[?(@.a == '1')]", "$[?(@.x == 1)]", "$[?(@.x)]", "$[?(@.n)]", "$[?(!@.x)]",
        "$.b[?(@.c == 'x')]", "$.b[?(@.c == \"x\" || @.c == \"y\")]", "$.b[?(@.c =~ /X/i)]",
        "$.x[?(@.c)]", "$.a[?(@ == 1)]", "$.s[?(@ == 'str')]", "$.b.l[*]", "$.b.l[0]", "$.b.l[9]",
        "$.b.l[-1]", "$.b.l[*].d", "$.b.l[?(@.d > 4)]", "$.b.l[?(@ > 1)]", "$..d", "$..zz", "$.*",
        "$.b.l.length()", "$['a']", "$['a','s']", "$[?(@.a > 0 && @.f < 3)]",
        "$[?(@.s in ['str','x'])]", "$[?(@.t == true)]", "$[?(@.n == null)]", "$[?(@.x == null)]",
        "$[?(@.b.c == 'x')]", "$[?(@.b.x == null)]", "$.e", "$.e[*]", "$.e[?(@.x)]", "a",
        "$.[?(@.a)]", "$.b.l[0:2]", "$[?(@.s =~ /s.r/)]", "$[?(@.s =~ /s/)]", "$[?(@.a != 2)]",
        "$[?(@.f >= 2.5)]", "$[?(@.s > 'sta')]", "$[?(@['a'] == 1)]", "$[?($.a == 1)]",
        "$[?(@.a)]", "$[?(@.s == @.b.c)]", "$[?(@.s size 3)]", "$[?(@.a in [1, 2])]", "$[?(@.a in ['1'])]", "$[?(@.x in [null])]",
        "$[?(@.n nin [null, 1.0])]", "$[?(@.a nin [])]", "$[?(@.e empty true)]",
        "$.b.l[?(@.d)]", "$[?(1 == 1)]", "$.b[?(@ == 'x')]", "$[?(@.x != 1)]", "$[?(@.x =~ /.*/)]",
        "$[?(@.n =~ /.*/)]", "$[?(@.a =~ /1/)]", "$[?(@.t =~ /true/)]", "$[?(@.num == 12)]",
        "$[?(@.num > 11)]", "$[?(12 == @.num)]", "$[?(@.t == 'true')]", "$[?(@.a == true)]",
        "$[?(@.b == null)]", "$[?(@.a==1)]", "$[?(@.a == 1.0)]", "$[?(@.f == 2.50)]",
        "$[?(@.a < '2')]", "$[?((@.a == 1))]", "$[?(!(@.a == 1))]",
        "$[?(@.a == 2 || @.s == 'str' && @.t == true)]",
        "$[?(@.a == 1 && (@.s == 'x' || @.t == true))]", "$[?(@.my prop == 1)]",
        "$[?(@['my prop'] == 1)]", "$['my prop']", "$.my prop", "$[?(@.q == 'it\\'s')]",
        "$[?(@.q == \"it's\")]", "$[?(@.b.l[0] == 1)]", "$[?(@.b.l[5])]", "$[?(@.s =~ /S.*/i)]",
        "$[?(/S.*/i =~ @.s)]", "$[?(@.s =~ 'str')]", "$[?(@.n != null)]", "$[?(@.x != null)]",
        "$[?(@.n == null && @.a == 1)]", "$[?(@.s === 'str')]", "$[?(@.a !== 1)]", "$[?@.a == 1]",
        "$[?(@.a = 1)]", "$[?(@.a == 1]", "$[?()]", "$[", "$.", "$..", "$[*]", "$.b[*]", "$.s[*]",
        "$.n[?(@.x)]", "$.e[0]", "$.e[0].x", "$.s[0]", "$.b.l[*].d.e", "$.b.l[?(@.d)].d",
        "$.b.l[?(@.d)].z", "$.b[?(@.c)].c", "$.b[?(@.c)].zz", "$.x.y", "$.b.l[2].d", "$.b.l[2].z",
        "$[?(@.s == 'a' || @.s=='str')]", "$[?( @.a==1&&@.t==true )]", "$[?(true)]", "$[?(@.t)]",
        "$[?(@.a == -1)]", "$[?(@.a > -1)]", "$[?(@.a < 1e3)]", "$[?(@.s == 'STR')]",
        "$[?('str' == @.s)]", "$[?(@.b.c != 'x')]", "$[?(!@.a)]", "$[?(! @.x)]", "@.a", "$.a.",
        "$.b..c", "$[?(@.l[*] == 1)]", "$[?(@.s =~ /(st|x)r/)]", "$[?(@.s =~ /a\\/b/)]",
        "$[?(@.b == @.b)]", "$[?(@.e == [])]", "$[?(@.s nin ['a'])]", "$[?(@.b.l contains 1)]",
        "$.s.length()", "$[0]", "$.b.l[0,1]", "$.b.l[:1]", "$.b.l[-1:]", " $.a ", "$ .a", "$.a b",
    };

    public static void main(String[] args) throws Exception {
        PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), false, StandardCharsets.UTF_8);
        ObjectMapper mapper = new ObjectMapper();
        Configuration list = Configuration.defaultConfiguration().addOptions(Option.ALWAYS_RETURN_LIST);
        for (int i = 0; i < DOCUMENTS.length; i++) {
            out.println("-\t" + DOCUMENTS[i]);
            Object document = mapper.readValue(DOCUMENTS[i], Map.class);
            for (String path : PATHS) {
                String found;
                try {
                    JsonPath compiled = JsonPath.compile(path);
                    try {
                        List<?> items = compiled.read(document, list);
                        found = mapper.writeValueAsString(items);
                    } catch (PathNotFoundException e) {
                        found = "missing";
                    } catch (RuntimeException e) {
                        found = "error";
                    }
                } catch (RuntimeException e) {
                    found = "invalid";
                }
                out.println(i + "\t" + path + "\t" + found);
            }
        }
        out.flush();
    }
}
