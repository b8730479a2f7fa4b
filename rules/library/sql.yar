/* SPDX-License-Identifier: Apache-2.0 */
/* More than 32 matches of a string that has a loop are a finding by themselves: the way to the i-th match is i steps long. */
/* Values that become SQL where telemetry is stored.
 *
 * Ordinary telemetry has short words such as "or", "update", "exec" everywhere, so each string is as long as it can
 * be; what stands around it is compared in the condition. */

rule sql_injection
{
    meta:
        id = "mqward-inject-004"
        description = "Value that ends an SQL literal and goes on as SQL"
        severity = "high"
        mitre_attack = "T1190"
        reference = "https://cwe.mitre.org/data/definitions/89.html"
        sample_hit = "sql-or.b64 sql-union.b64 sql-drop.b64 sql-time.b64 sql-or-number.b64 sql-or-double.b64 sql-or-tight.b64 sql-union-comment.b64 sql-update.b64"
        sample_miss = "sql-log.txt csv-energy.csv text-french.txt"
    strings:
        // a quote, or, and the start of a comparison
        $or_value1 = "' or '" nocase $or_value2 = "' or \"" nocase $or_value3 = "' or (" nocase
        $or_value4 = "' or true" nocase $or_value5 = "' or 0" nocase $or_value6 = "' or 1" nocase
        $or_value7 = "' or 2" nocase $or_value8 = "' or 3" nocase $or_value9 = "' or 4" nocase
        $or_value10 = "' or 5" nocase $or_value11 = "' or 6" nocase $or_value12 = "' or 7" nocase
        $or_value13 = "' or 8" nocase $or_value14 = "' or 9" nocase $or_value15 = "' or  '" nocase
        $or_value16 = "' or  \"" nocase $or_value17 = "' or  (" nocase $or_value18 = "' or  true" nocase
        $or_value19 = "' or  0" nocase $or_value20 = "' or  1" nocase $or_value21 = "' or  2" nocase
        $or_value22 = "' or  3" nocase $or_value23 = "' or  4" nocase $or_value24 = "' or  5" nocase
        $or_value25 = "' or  6" nocase $or_value26 = "' or  7" nocase $or_value27 = "' or  8" nocase
        $or_value28 = "' or  9" nocase $or_value29 = "'  or '" nocase $or_value30 = "'  or \"" nocase
        $or_value31 = "'  or (" nocase $or_value32 = "'  or true" nocase $or_value33 = "'  or 0" nocase
        $or_value34 = "'  or 1" nocase $or_value35 = "'  or 2" nocase $or_value36 = "'  or 3" nocase
        $or_value37 = "'  or 4" nocase $or_value38 = "'  or 5" nocase $or_value39 = "'  or 6" nocase
        $or_value40 = "'  or 7" nocase $or_value41 = "'  or 8" nocase $or_value42 = "'  or 9" nocase
        $or_value43 = "'  or  '" nocase $or_value44 = "'  or  \"" nocase $or_value45 = "'  or  (" nocase
        $or_value46 = "'  or  true" nocase $or_value47 = "'  or  0" nocase $or_value48 = "'  or  1" nocase
        $or_value49 = "'  or  2" nocase $or_value50 = "'  or  3" nocase $or_value51 = "'  or  4" nocase
        $or_value52 = "'  or  5" nocase $or_value53 = "'  or  6" nocase $or_value54 = "'  or  7" nocase
        $or_value55 = "'  or  8" nocase $or_value56 = "'  or  9" nocase $or_value57 = "'or '" nocase
        $or_value58 = "'or \"" nocase $or_value59 = "'or (" nocase $or_value60 = "'or true" nocase
        $or_value61 = "'or 0" nocase $or_value62 = "'or 1" nocase $or_value63 = "'or 2" nocase
        $or_value64 = "'or 3" nocase $or_value65 = "'or 4" nocase $or_value66 = "'or 5" nocase
        $or_value67 = "'or 6" nocase $or_value68 = "'or 7" nocase $or_value69 = "'or 8" nocase
        $or_value70 = "'or 9" nocase $or_value71 = "'or'0" nocase $or_value72 = "'or'1" nocase
        $or_value73 = "'or'2" nocase $or_value74 = "'or'3" nocase $or_value75 = "'or'4" nocase
        $or_value76 = "'or'5" nocase $or_value77 = "'or'6" nocase $or_value78 = "'or'7" nocase
        $or_value79 = "'or'8" nocase $or_value80 = "'or'9" nocase $or_value81 = "'or'a" nocase
        $or_value82 = "'or'x" nocase $or_value83 = "'or''" nocase $or_value84 = "'or\"0" nocase
        $or_value85 = "'or\"1" nocase $or_value86 = "'or\"a" nocase $or_value87 = "'or\"x" nocase
        $or_value88 = "'or\"\"" nocase $or_value89 = "' or'" nocase $or_value90 = "' or\"" nocase
        $or_value91 = "'or(" nocase $or_value92 = "\" or '" nocase $or_value93 = "\" or \"" nocase
        $or_value94 = "\" or (" nocase $or_value95 = "\" or true" nocase $or_value96 = "\" or 0" nocase
        $or_value97 = "\" or 2" nocase $or_value98 = "\" or 3" nocase $or_value99 = "\" or 4" nocase
        $or_value100 = "\" or 5" nocase $or_value101 = "\" or 6" nocase $or_value102 = "\" or 7" nocase
        $or_value103 = "\" or 8" nocase $or_value104 = "\" or 9" nocase $or_value105 = "\" or  '" nocase
        $or_value106 = "\" or  \"" nocase $or_value107 = "\" or  (" nocase $or_value108 = "\" or  true" nocase
        $or_value109 = "\" or  0" nocase $or_value110 = "\" or  1" nocase $or_value111 = "\" or  2" nocase
        $or_value112 = "\" or  3" nocase $or_value113 = "\" or  4" nocase $or_value114 = "\" or  5" nocase
        $or_value115 = "\" or  6" nocase $or_value116 = "\" or  7" nocase $or_value117 = "\" or  8" nocase
        $or_value118 = "\" or  9" nocase $or_value119 = "\"  or '" nocase $or_value120 = "\"  or \"" nocase
        $or_value121 = "\"  or (" nocase $or_value122 = "\"  or true" nocase $or_value123 = "\"  or 0" nocase
        $or_value124 = "\"  or 1" nocase $or_value125 = "\"  or 2" nocase $or_value126 = "\"  or 3" nocase
        $or_value127 = "\"  or 4" nocase $or_value128 = "\"  or 5" nocase $or_value129 = "\"  or 6" nocase
        $or_value130 = "\"  or 7" nocase $or_value131 = "\"  or 8" nocase $or_value132 = "\"  or 9" nocase
        $or_value133 = "\"  or  '" nocase $or_value134 = "\"  or  \"" nocase $or_value135 = "\"  or  (" nocase
        $or_value136 = "\"  or  true" nocase $or_value137 = "\"  or  0" nocase $or_value138 = "\"  or  1" nocase
        $or_value139 = "\"  or  2" nocase $or_value140 = "\"  or  3" nocase $or_value141 = "\"  or  4" nocase
        $or_value142 = "\"  or  5" nocase $or_value143 = "\"  or  6" nocase $or_value144 = "\"  or  7" nocase
        $or_value145 = "\"  or  8" nocase $or_value146 = "\"  or  9" nocase $or_value147 = "\"or '" nocase
        $or_value148 = "\"or \"" nocase $or_value149 = "\"or (" nocase $or_value150 = "\"or true" nocase
        $or_value151 = "\"or 0" nocase $or_value152 = "\"or 1" nocase $or_value153 = "\"or 2" nocase
        $or_value154 = "\"or 3" nocase $or_value155 = "\"or 4" nocase $or_value156 = "\"or 5" nocase
        $or_value157 = "\"or 6" nocase $or_value158 = "\"or 7" nocase $or_value159 = "\"or 8" nocase
        $or_value160 = "\"or 9" nocase $or_value161 = "\"or'0" nocase $or_value162 = "\"or'1" nocase
        $or_value163 = "\"or'2" nocase $or_value164 = "\"or'3" nocase $or_value165 = "\"or'4" nocase
        $or_value166 = "\"or'5" nocase $or_value167 = "\"or'6" nocase $or_value168 = "\"or'7" nocase
        $or_value169 = "\"or'8" nocase $or_value170 = "\"or'9" nocase $or_value171 = "\"or'a" nocase
        $or_value172 = "\"or'x" nocase $or_value173 = "\"or''" nocase $or_value174 = "\"or\"0" nocase
        $or_value175 = "\"or\"1" nocase $or_value176 = "\"or\"a" nocase $or_value177 = "\"or\"x" nocase
        $or_value178 = "\"or\"\"" nocase $or_value179 = "\" or'" nocase $or_value180 = "\" or\"" nocase
        $or_value181 = "\"or(" nocase $or_value182 = "') or '" nocase $or_value183 = "') or \"" nocase
        $or_value184 = "') or (" nocase $or_value185 = "') or true" nocase $or_value186 = "') or 0" nocase
        $or_value187 = "') or 1" nocase $or_value188 = "') or 2" nocase $or_value189 = "') or 3" nocase
        $or_value190 = "') or 4" nocase $or_value191 = "') or 5" nocase $or_value192 = "') or 6" nocase
        $or_value193 = "') or 7" nocase $or_value194 = "') or 8" nocase $or_value195 = "') or 9" nocase
        $or_value196 = "') or  '" nocase $or_value197 = "') or  \"" nocase $or_value198 = "') or  (" nocase
        $or_value199 = "') or  true" nocase $or_value200 = "') or  0" nocase $or_value201 = "') or  1" nocase
        $or_value202 = "') or  2" nocase $or_value203 = "') or  3" nocase $or_value204 = "') or  4" nocase
        $or_value205 = "') or  5" nocase $or_value206 = "') or  6" nocase $or_value207 = "') or  7" nocase
        $or_value208 = "') or  8" nocase $or_value209 = "') or  9" nocase $or_value210 = "')  or '" nocase
        $or_value211 = "')  or \"" nocase $or_value212 = "')  or (" nocase $or_value213 = "')  or true" nocase
        $or_value214 = "')  or 0" nocase $or_value215 = "')  or 1" nocase $or_value216 = "')  or 2" nocase
        $or_value217 = "')  or 3" nocase $or_value218 = "')  or 4" nocase $or_value219 = "')  or 5" nocase
        $or_value220 = "')  or 6" nocase $or_value221 = "')  or 7" nocase $or_value222 = "')  or 8" nocase
        $or_value223 = "')  or 9" nocase $or_value224 = "')  or  '" nocase $or_value225 = "')  or  \"" nocase
        $or_value226 = "')  or  (" nocase $or_value227 = "')  or  true" nocase $or_value228 = "')  or  0" nocase
        $or_value229 = "')  or  1" nocase $or_value230 = "')  or  2" nocase $or_value231 = "')  or  3" nocase
        $or_value232 = "')  or  4" nocase $or_value233 = "')  or  5" nocase $or_value234 = "')  or  6" nocase
        $or_value235 = "')  or  7" nocase $or_value236 = "')  or  8" nocase $or_value237 = "')  or  9" nocase
        $or_value238 = "')or '" nocase $or_value239 = "')or \"" nocase $or_value240 = "')or (" nocase
        $or_value241 = "')or true" nocase $or_value242 = "')or 0" nocase $or_value243 = "')or 1" nocase
        $or_value244 = "')or 2" nocase $or_value245 = "')or 3" nocase $or_value246 = "')or 4" nocase
        $or_value247 = "')or 5" nocase $or_value248 = "')or 6" nocase $or_value249 = "')or 7" nocase
        $or_value250 = "')or 8" nocase $or_value251 = "')or 9" nocase $or_value252 = "')or'0" nocase
        $or_value253 = "')or'1" nocase $or_value254 = "')or'2" nocase $or_value255 = "')or'3" nocase
        $or_value256 = "')or'4" nocase $or_value257 = "')or'5" nocase $or_value258 = "')or'6" nocase
        $or_value259 = "')or'7" nocase $or_value260 = "')or'8" nocase $or_value261 = "')or'9" nocase
        $or_value262 = "')or'a" nocase $or_value263 = "')or'x" nocase $or_value264 = "')or''" nocase
        $or_value265 = "')or\"0" nocase $or_value266 = "')or\"1" nocase $or_value267 = "')or\"a" nocase
        $or_value268 = "')or\"x" nocase $or_value269 = "')or\"\"" nocase $or_value270 = "') or'" nocase
        $or_value271 = "') or\"" nocase $or_value272 = "')or(" nocase $or_value273 = "\") or '" nocase
        $or_value274 = "\") or \"" nocase $or_value275 = "\") or (" nocase $or_value276 = "\") or true" nocase
        $or_value277 = "\") or 0" nocase $or_value278 = "\") or 1" nocase $or_value279 = "\") or 2" nocase
        $or_value280 = "\") or 3" nocase $or_value281 = "\") or 4" nocase $or_value282 = "\") or 5" nocase
        $or_value283 = "\") or 6" nocase $or_value284 = "\") or 7" nocase $or_value285 = "\") or 8" nocase
        $or_value286 = "\") or 9" nocase $or_value287 = "\") or  '" nocase $or_value288 = "\") or  \"" nocase
        $or_value289 = "\") or  (" nocase $or_value290 = "\") or  true" nocase $or_value291 = "\") or  0" nocase
        $or_value292 = "\") or  1" nocase $or_value293 = "\") or  2" nocase $or_value294 = "\") or  3" nocase
        $or_value295 = "\") or  4" nocase $or_value296 = "\") or  5" nocase $or_value297 = "\") or  6" nocase
        $or_value298 = "\") or  7" nocase $or_value299 = "\") or  8" nocase $or_value300 = "\") or  9" nocase
        $or_value301 = "\")  or '" nocase $or_value302 = "\")  or \"" nocase $or_value303 = "\")  or (" nocase
        $or_value304 = "\")  or true" nocase $or_value305 = "\")  or 0" nocase $or_value306 = "\")  or 1" nocase
        $or_value307 = "\")  or 2" nocase $or_value308 = "\")  or 3" nocase $or_value309 = "\")  or 4" nocase
        $or_value310 = "\")  or 5" nocase $or_value311 = "\")  or 6" nocase $or_value312 = "\")  or 7" nocase
        $or_value313 = "\")  or 8" nocase $or_value314 = "\")  or 9" nocase $or_value315 = "\")  or  '" nocase
        $or_value316 = "\")  or  \"" nocase $or_value317 = "\")  or  (" nocase $or_value318 = "\")  or  true" nocase
        $or_value319 = "\")  or  0" nocase $or_value320 = "\")  or  1" nocase $or_value321 = "\")  or  2" nocase
        $or_value322 = "\")  or  3" nocase $or_value323 = "\")  or  4" nocase $or_value324 = "\")  or  5" nocase
        $or_value325 = "\")  or  6" nocase $or_value326 = "\")  or  7" nocase $or_value327 = "\")  or  8" nocase
        $or_value328 = "\")  or  9" nocase $or_value329 = "\")or '" nocase $or_value330 = "\")or \"" nocase
        $or_value331 = "\")or (" nocase $or_value332 = "\")or true" nocase $or_value333 = "\")or 0" nocase
        $or_value334 = "\")or 1" nocase $or_value335 = "\")or 2" nocase $or_value336 = "\")or 3" nocase
        $or_value337 = "\")or 4" nocase $or_value338 = "\")or 5" nocase $or_value339 = "\")or 6" nocase
        $or_value340 = "\")or 7" nocase $or_value341 = "\")or 8" nocase $or_value342 = "\")or 9" nocase
        $or_value343 = "\")or'0" nocase $or_value344 = "\")or'1" nocase $or_value345 = "\")or'2" nocase
        $or_value346 = "\")or'3" nocase $or_value347 = "\")or'4" nocase $or_value348 = "\")or'5" nocase
        $or_value349 = "\")or'6" nocase $or_value350 = "\")or'7" nocase $or_value351 = "\")or'8" nocase
        $or_value352 = "\")or'9" nocase $or_value353 = "\")or'a" nocase $or_value354 = "\")or'x" nocase
        $or_value355 = "\")or''" nocase $or_value356 = "\")or\"0" nocase $or_value357 = "\")or\"1" nocase
        $or_value358 = "\")or\"a" nocase $or_value359 = "\")or\"x" nocase $or_value360 = "\")or\"\"" nocase
        $or_value361 = "\") or'" nocase $or_value362 = "\") or\"" nocase $or_value363 = "\")or(" nocase
        $or_value364 = "\" or 10" nocase $or_value365 = "\" or 11" nocase $or_value366 = "\" or 12" nocase
        $or_value367 = "\" or 13" nocase $or_value368 = "\" or 14" nocase $or_value369 = "\" or 15" nocase
        $or_value370 = "\" or 16" nocase $or_value371 = "\" or 17" nocase $or_value372 = "\" or 18" nocase
        $or_value373 = "\" or 19" nocase $or_value374 = "\" or 1'" nocase $or_value375 = "\" or 1\"" nocase
        $or_plain1 = "\" or 1=0" nocase $or_plain2 = "\" or 1=1" nocase $or_plain3 = "\" or 1=2" nocase
        $or_plain4 = "\" or 1='" nocase $or_plain5 = "\" or 1=\"" nocase $or_plain6 = "\" or 1<" nocase
        $or_plain7 = "\" or 1>" nocase $or_plain8 = "\" or 1 =" nocase $or_plain9 = "\" or 1  =" nocase
        $or_plain10 = "\" or 1 <" nocase $or_plain11 = "\" or 1 >" nocase $or_plain12 = ") or 1=1" nocase
        $or_plain13 = ") or 1 = 1" nocase $or_plain14 = ") or 1=0" nocase $or_plain15 = ") or '1'='1" nocase
        $or_plain16 = ") or ('1'='1" nocase $or_plain17 = "'/**/or/**/" nocase $or_plain18 = "'||'1'='1" nocase
        $or_plain19 = "' || '1'='1" nocase $or_plain20 = "%27+or+" nocase $or_plain21 = "%27%20or%20" nocase
        $or_plain22 = "'+or+'" nocase $or_plain23 = "'+or+1" nocase $or_plain24 = "'%20or%20'" nocase
        $or_plain25 = "'%20or%201" nocase $or_plain26 = "%22%20or%20" nocase $or_plain27 = "%22+or+" nocase
        $union1 = "union select " nocase $union2 = "union all select " nocase $union3 = "union  select " nocase
        $union4 = "union  all select " nocase $union5 = "union all  select " nocase
        $union6 = "union  all  select " nocase
        $marked_union1 = "union/*" nocase $marked_union2 = "union%20select" nocase
        $marked_union3 = "union%20all%20select" nocase $marked_union4 = "union+select" nocase
        $marked_union5 = "union+all+select" nocase $marked_union6 = "*/union" nocase
        $marked_union7 = "*/select/*" nocase $marked_union8 = "union%0aselect" nocase $marked_union9 = "/*!union" nocase
        $marked_union10 = "/*!select" nocase
        $after1 = "drop table " nocase $after2 = "drop  table " nocase $after3 = "drop/**/table" nocase
        $after4 = "truncate table " nocase $after5 = "truncate  table " nocase $after6 = "truncate/**/table" nocase
        $after7 = "alter table " nocase $after8 = "alter  table " nocase $after9 = "alter/**/table" nocase
        $after10 = "drop temporary table " nocase $after11 = "drop temporary  table " nocase
        $after12 = "drop temporary/**/table" nocase $after13 = "drop database " nocase $after14 = "drop schema " nocase
        $after15 = "insert into " nocase $after16 = "insert  into " nocase $after17 = "delete from " nocase
        $after18 = "delete  from " nocase
        $stacked1 = "'; exec " nocase $stacked2 = "';exec " nocase $stacked3 = "' ; exec " nocase
        $stacked4 = "' ;exec " nocase $stacked5 = "\"; exec " nocase $stacked6 = "\";exec " nocase
        $stacked7 = "\" ; exec " nocase $stacked8 = "\" ;exec " nocase $stacked9 = "); exec " nocase
        $stacked10 = ");exec " nocase $stacked11 = ") ; exec " nocase $stacked12 = ") ;exec " nocase
        $stacked13 = "'; execute " nocase $stacked14 = "';execute " nocase $stacked15 = "' ; execute " nocase
        $stacked16 = "' ;execute " nocase $stacked17 = "\"; execute " nocase $stacked18 = "\";execute " nocase
        $stacked19 = "\" ; execute " nocase $stacked20 = "\" ;execute " nocase $stacked21 = "); execute " nocase
        $stacked22 = ");execute " nocase $stacked23 = ") ; execute " nocase $stacked24 = ") ;execute " nocase
        $stacked25 = "'; shutdown" nocase $stacked26 = "';shutdown" nocase $stacked27 = "' ; shutdown" nocase
        $stacked28 = "' ;shutdown" nocase $stacked29 = "\"; shutdown" nocase $stacked30 = "\";shutdown" nocase
        $stacked31 = "\" ; shutdown" nocase $stacked32 = "\" ;shutdown" nocase $stacked33 = "); shutdown" nocase
        $stacked34 = ");shutdown" nocase $stacked35 = ") ; shutdown" nocase $stacked36 = ") ;shutdown" nocase
        $update1 = "'; update " nocase $update2 = "';update " nocase $update3 = "' ; update " nocase
        $update4 = "' ;update " nocase $update5 = "\"; update " nocase $update6 = "\";update " nocase
        $update7 = "\" ; update " nocase $update8 = "\" ;update " nocase $update9 = "); update " nocase
        $update10 = ");update " nocase $update11 = ") ; update " nocase $update12 = ") ;update " nocase
        $xp = "xp_cmdshell" nocase
        $sleep = /['")0-9] {0,2}(and|or|;|\|\|) {0,2}(select {1,2})?(pg_)?sleep\([0-9]/ nocase
        $sleep_select1 = "select sleep(" nocase $sleep_select2 = "select  sleep(" nocase
        $sleep_select3 = "select pg_sleep(" nocase $sleep_select4 = "select  pg_sleep(" nocase
        $sleep_select5 = "select(sleep(" nocase
        $benchmark = "benchmark(" nocase
        $waitfor1 = "waitfor delay '0" nocase $waitfor2 = "waitfor delay \"0" nocase
        $waitfor3 = "waitfor delay '" nocase $waitfor4 = "waitfor  delay '0" nocase
        $waitfor5 = "waitfor  delay \"0" nocase $waitfor6 = "waitfor  delay '" nocase
        $schema = "from information_schema." nocase
        $schema_blanks = "from  information_schema." nocase
        $outfile1 = "into outfile '" nocase $outfile2 = "into outfile \"" nocase $outfile3 = "into dumpfile '" nocase
        $outfile4 = "into dumpfile \"" nocase $outfile5 = "into  outfile '" nocase $outfile6 = "into  dumpfile '" nocase
        $copy1 = "from program '" nocase $copy2 = "from program  '" nocase $copy3 = "from  program '" nocase
        $copy4 = "from  program  '" nocase $copy5 = "to program '" nocase $copy6 = "to program  '" nocase
        $copy7 = "to  program '" nocase $copy8 = "to  program  '" nocase
    condition:
        any of ($or_plain*) or
        any of ($or_value*) and for any of ($or_value*) : (# > 32 or for any i in (1..#) : (
            (uint32be(@[i] + ![i] - 4) | 0x20202020) == 0x74727565 or for any j in (0..13) : (
            (uint8(@[i] + ![i] + j) >= 0x3C and uint8(@[i] + ![i] + j) <= 0x3E) and for any k in (1..5) : (
                uint8(@[i] + ![i] + j + k) == 0x27 or uint8(@[i] + ![i] + j + k) == 0x22 or
                (uint8(@[i] + ![i] + j + k) >= 0x30 and uint8(@[i] + ![i] + j + k) <= 0x39))))) or
        $xp or $sleep or any of ($sleep_select*) or any of ($waitfor*) or any of ($schema*) or
        #benchmark > 32 or for any i in (1..#benchmark) : (uint8(@benchmark[i] + 10) >= 0x30 and uint8(@benchmark[i] + 10) <= 0x39) or
        any of ($outfile*) or any of ($copy*) or
        // union: what ends with a quote, a parenthesis or a digit, and a blank or two
        any of ($union*) and for any of ($union*) : (# > 32 or for any i in (1..#) : (uint8(@[i] - 1) == 0x20 and for any j in (2..3) : (
            (j == 2 or uint8(@[i] - 2) == 0x20) and (uint8(@[i] - j) == 0x22 or uint8(@[i] - j) == 0x27 or
            uint8(@[i] - j) == 0x29 or (uint8(@[i] - j) >= 0x30 and uint8(@[i] - j) <= 0x39))))) or
        any of ($marked_*) and for any of ($marked_*) : (# > 32 or for any i in (1..#) : (for any j in (0..48) : (
            (uint32be(@[i] + j) | 0x20202020) == 0x73656C65))) or
        // a quote or parenthesis, a semicolon, and a statement
        any of ($stacked*) or
        any of ($after*) and for any of ($after*) : (# > 32 or for any i in (1..#) : (for any j in (1..3) : (uint8(@[i] - j) == 0x3B and
            for any k in (1..3) : (uint8(@[i] - j - k) == 0x22 or uint8(@[i] - j - k) == 0x27 or uint8(@[i] - j - k) == 0x29)))) or
        any of ($update*) and for any of ($update*) : (# > 32 or for any i in (1..#) : (for any j in (10..50) : ((uint32be(@[i] + j) | 0x20202020) == 0x20736574)))
}
